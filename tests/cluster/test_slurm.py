"""The SLURM example, up to the job script that it would submit."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "slurm_cluster.py"


def test_the_job_script_of_a_worker():
    pytest.importorskip("dask_jobqueue")
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    script = done.stdout.strip().splitlines()
    assert script[0].startswith("#!/")
    for option in ("--cpus-per-task=4", "--mem=16G", "-t 04:00:00", "--requeue"):
        assert f"#SBATCH {option}" in script
    assert "export OMP_NUM_THREADS=1" in script
    assert script.index("export OMP_NUM_THREADS=1") < len(script) - 1
    assert "--nworkers 4" in script[-1]
    assert "--nthreads 1" in script[-1]
    assert "--memory-limit 4.00GiB" in script[-1]
