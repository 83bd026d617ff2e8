"""The README is true: its Python runs, its commands and options exist, its tables are the registry's."""

import importlib.util
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

import salzarr
from salzarr.cli import cli, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a Models/ as the README supposes it."""
    rng = np.random.default_rng(0)
    for model in ("VGG16", "ResNet50"):
        (tmp_path / "Models" / model / "maps").mkdir(parents=True)
        for i in range(3):
            np.save(
                tmp_path / "Models" / model / "maps" / f"img{i}.npy", rng.random((32, 32), dtype=np.float32)
            )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_blocks_run_in_order(folder):
    scope = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), scope)
    assert (folder / "spearman.svg").exists()
    assert scope["matrix"].shape == (2, 2)


@pytest.mark.parametrize("library", ["captum", "pytorch_grad_cam", "transformers"])
def test_maps_of_other_libraries_go_into_a_store(library, folder):
    torch = pytest.importorskip("torch")
    pytest.importorskip(library)
    mark = {"transformers": "vit.zarr"}.get(library, library)
    [block] = [block for block in blocks("py") if mark in block]
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 62 * 62, 5)
    )
    images = ["a", "b", "c", "d"]
    scope = {
        "salzarr": salzarr,
        "torch": torch,
        "network": network,
        "networks": {"net": network},
        "layer": network[1],
        "images": images,
        "batches": [(images[at : at + 2], torch.rand(2, 3, 64, 64), torch.tensor([1, 2])) for at in (0, 2)],
    }
    if library == "transformers":
        from transformers import ViTConfig, ViTForImageClassification

        small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        scope["vit"] = ViTForImageClassification(ViTConfig(image_size=64, patch_size=16, **small)).eval()
    exec(compile(block, "README.md", "exec"), scope)
    [store] = folder.glob("*.zarr")
    assert np.isfinite(salzarr.open_maps(store).values).all()
    assert salzarr.open_maps(store).sizes["image"] == 4


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_two_commands(folder, capsys):
    commands = [line for line in blocks("sh")[0].splitlines() if line.startswith("salzarr ")]
    assert [shlex.split(command)[1] for command in commands] == ["convert", "compare"]
    for command in commands:
        assert run(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    listed = re.findall(r"^\| `([a-z]+\.(?:html|csv|zarr))`", README, re.MULTILINE)
    optional = {"corrected.csv", "consensus.csv", "groups.csv", "discriminability.csv"}
    assert {"report.html", "summary.csv", "tests.csv"} <= set(listed)
    for name in set(listed) - optional:
        assert (folder / "results" / name).exists(), name


def test_every_command_and_option_named_exists():
    text = " ".join([*blocks("sh"), *re.findall(r"`(salzarr [^`]*)`", README)])
    context = click.Context(cli)
    for name in set(re.findall(r"\bsalzarr ([a-z]+)\b", text)):
        assert cli.get_command(context, name) is not None, name
    known = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        for option in parameter.opts
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--dry"} <= known


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_table_of_metrics_is_the_registry():
    path = ROOT / "scripts" / "fill_readme.py"
    spec = importlib.util.spec_from_file_location("fill_readme", path)
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    assert fill.metrics_table() in README, "run python scripts/fill_readme.py"
