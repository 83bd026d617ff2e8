"""Run a command again and again, each time killing it one step later, and finish it after each kill.

A program of its own: ``python killing.py COMMAND FOLDER STEP``. It forks a child per kill, which is safe as
long as nothing in the parent has started a thread; that saves the seconds that a fresh Python would take.
"""

import importlib
import os
import shutil
import signal
import sys
from pathlib import Path

STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def kill_at(step, inside):
    """Kill this process, with -9, right before its n-th change to what is inside a folder."""
    count = 0

    def hook(event, arguments):
        nonlocal count
        changes = event in STEPS or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if changes and inside in str(arguments[0]):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(function):
    """Run a function in a fork; return how the fork ended: 0, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(command, folder, every):
    """Print how many steps there were; stop with an error at the first that cannot be resumed."""
    from store import commands
    from store.trees import contents

    run, start = getattr(commands, command), commands.STARTS.get(command)
    folder = Path(folder)
    if start:
        shutil.copytree(folder / start, folder / "expected.zarr")
    assert in_child(lambda: run(folder, folder / "expected.zarr")) == 0
    assert in_child(lambda: commands.check(folder / "expected.zarr")) == 0
    expected = contents(folder / "expected.zarr")
    step, kills = 1, 0
    while True:
        store = folder / f"{step}.zarr"
        if start:
            shutil.copytree(folder / start, store)

        def killed(step=step, store=store):
            kill_at(step, store.name)
            run(folder, store)

        ended = in_child(killed)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, f"step {step} ended with {ended}"
        kills += 1
        assert in_child(lambda store=store: run(folder, store)) == 0, f"step {step} cannot be resumed"
        found = contents(store)
        differ = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
        assert not differ, f"after step {step} these differ: {differ}"
        assert in_child(lambda store=store: commands.check(store)) == 0, f"step {step} left a bad store"
        shutil.rmtree(store)
        step += every
    print(kills)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    # Everything is imported before the first fork; no thread is started by that.
    for module in ("salzarr.store", "store.commands", "dask.array", "dask.threaded", "distributed"):
        importlib.import_module(module)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
