"""Each command once for real, through the installed entry point; and every kind of wrong argument."""

import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from salzarr import convert, open_scores
from salzarr.cli import cli, run
from salzarr.plot.kinds import KINDS

SALZARR = Path(sys.executable).with_name("salzarr")


def salzarr(*arguments, code=0):
    done = subprocess.run(
        [SALZARR, *map(str, arguments)], capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def time_of_children():
    """Seconds that ended processes computed for, whoever else keeps the machine busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def untidy(tmp_path_factory):
    """Make a tree as people have them: other orders, a missing image, a constant map, one with a NaN."""
    root = tmp_path_factory.mktemp("untidy") / "Models"
    rng = np.random.default_rng(0)
    ids = [f"img{i:02d}" for i in range(8)]
    maps = {}
    for model in ("VGG16", "$a_$", "[red]"):
        folder = root / model / "Saliency_experiment_outputs" / "Baseline_model" / "numpy_saliency_map"
        folder.mkdir(parents=True)
        for name in rng.permutation(ids):
            maps[model, name] = rng.random((16, 16), dtype=np.float32)
        maps["VGG16", "img03"] = np.full((16, 16), 0.1, np.float32)
        if model == "$a_$":
            del maps[model, "img01"]
        if model == "[red]":
            maps[model, "img05"][3, 4] = np.nan
        for (owner, name), values in maps.items():
            if owner == model:
                np.save(folder / f"{name}.npy", values)
    return root, maps


@pytest.fixture(scope="module")
def compared(untidy, tmp_path_factory):
    root, maps = untidy
    folder = tmp_path_factory.mktemp("compared")
    converted = salzarr("convert", root, folder / "maps.zarr")
    done = salzarr(
        "compare",
        folder / "maps.zarr",
        folder / "results",
        "--metrics",
        "mse,pearson,kl",
        "--bootstrap",
        "50",
    )
    return folder, maps, converted, done


def test_an_untidy_tree_is_scored_by_name(compared):
    folder, maps, converted, _ = compared
    assert "3 models x 8 images" in converted.stdout
    assert "1 non_finite" in converted.stdout
    with xr.open_zarr(folder / "results" / "scores.zarr") as scores:
        for pair, (a, b) in enumerate(zip(scores.model_a.values, scores.model_b.values, strict=True)):
            for image in scores.image.values:
                one, other = maps.get((a, image)), maps.get((b, image))
                found = float(scores.mse.sel(image=image)[pair])
                if one is None or other is None or np.isnan(one).any() or np.isnan(other).any():
                    assert np.isnan(found)
                else:
                    np.testing.assert_allclose(found, np.mean((one.astype(float) - other) ** 2), rtol=1e-6)


def test_the_table_tells_how_many_and_why_not(compared):
    folder, *_ = compared
    table = pd.read_csv(folder / "results" / "summary.csv").set_index(["metric", "model_a", "model_b"])
    names = {tuple(sorted(index[1:])): index[1:] for index in table.index if index[0] == "pearson"}
    row = table.loc[("pearson", *names[("$a_$", "VGG16")])]
    assert (row.n, row.missing, row.constant, row.non_finite) == (6, 1, 1, 0)
    row = table.loc[("pearson", *names[("VGG16", "[red]")])]
    assert (row.n, row.missing, row.constant, row.non_finite) == (6, 0, 1, 1)
    pair = next(key[1:] for key in table.index if {"VGG16", "[red]"} == set(key[1:]))
    assert {("kl_a_to_b", *pair), ("kl_b_to_a", *pair)} <= set(table.index)


def test_compare_shows_matrices_findings_and_where_the_report_is(compared):
    folder, _, _, done = compared
    written = ("summary.csv", "matrix_mse.png", "matrix_kl.svg", "report.html")
    assert all((folder / "results" / name).stat().st_size > 0 for name in written)
    lines = done.stdout.splitlines()
    assert lines[-1] == f"Open {folder / 'results' / 'report.html'}"
    assert [line for line in lines if line.endswith("mean over the images")] == [
        f"{metric}, mean over the images" for metric in ("mse", "pearson", "kl")
    ]
    frame = pd.read_csv(folder / "results" / "summary.csv").set_index(["metric", "model_a", "model_b"])
    row = next(line.split() for line in lines if line.strip().startswith("[red]"))
    assert float(row[1]) == pytest.approx(frame.loc[("mse", "VGG16", "[red]"), "mean"], abs=0.006)
    sentences = next(line for line in lines if "the most alike" in line)
    assert sentences in (folder / "results" / "report.html").read_text()
    assert len(lines) < 40


def test_compare_again_computes_nothing_and_a_metric_costs_itself(compared):
    folder, *_ = compared
    before = (folder / "results" / "summary.csv").read_text()
    again = ("compare", folder / "maps.zarr", folder / "results", "--bootstrap", "50", "--no-report")
    assert (
        "nothing to do: all of 3 pairs x 8 images x 3 metrics is scored"
        in salzarr(*again, "--metrics", "mse,pearson,kl").stderr
    )
    assert (folder / "results" / "summary.csv").read_text() == before
    done = salzarr(*again, "--metrics", "mse,pearson,kl,cosine")
    assert "24 scores computed, 72 were there already" in done.stderr
    table = pd.read_csv(folder / "results" / "summary.csv")
    assert set(table.metric) == {"mse", "pearson", "kl_a_to_b", "kl_b_to_a", "cosine"}


def test_both_stores_open_without_salzarr_and_without_a_warning(compared):
    folder, *_ = compared
    for store in ("maps.zarr", "results/scores.zarr"):
        code = f"import xarray as xr; print(xr.open_zarr({str(folder / store)!r}).sizes)"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""


def test_json_is_for_programs(compared):
    folder, *_ = compared
    facts = json.loads(salzarr("info", folder / "maps.zarr", "--json").stdout)
    assert set(facts["models"]) == {"VGG16", "$a_$", "[red]"}
    listed = {metric["name"] for metric in json.loads(salzarr("metrics", "--json").stdout)}
    assert {"mse", "cosine", "pearson", "ssim", "emd"} <= listed
    plan = json.loads(salzarr("compare", folder / "maps.zarr", folder / "new", "--dry-run", "--json").stdout)
    assert plan
    assert not (folder / "new").exists()
    report = json.loads(salzarr("report", folder / "results", "--bootstrap", "0", "--json").stdout)
    assert report["summary"][0]["n"] > 0


def test_images_are_listed_in_a_file(compared, tmp_path, capsys):
    store, listed = str(compared[0] / "maps.zarr"), tmp_path / "listed.txt"
    listed.write_bytes(b"\xef\xbb\xbfimg00\r\nimg02\r\n\r\n")  # as Windows writes it
    command = ["compare", store, str(tmp_path / "new"), "--metrics", "mse", "--images", str(listed)]
    assert run([*command, "--dry-run"]) == 0
    assert "x 2 images" in capsys.readouterr().out
    listed.write_bytes(b"caf\xe9\n")
    assert run(command) == 3
    assert "save it as UTF-8" in capsys.readouterr().err


def test_a_terminal_that_cannot_show_a_character_costs_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert r"a\xb7b" in salzarr("metrics").stdout
    convert({"\U0001f600": np.ones((1, 4, 4))}, tmp_path / "maps.zarr")
    assert run(["info", str(tmp_path / "maps.zarr"), "--json"]) == 0
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert list(json.loads(shown)["models"]) == ["\U0001f600"]


@pytest.mark.parametrize("kind", ["matrix", "distributions", "models", "metrics", "gallery"])
def test_plot_draws_every_kind(compared, kind):
    folder, *_ = compared
    chosen = [] if kind == "metrics" else ["--metric", "mse"]
    done = salzarr("plot", folder / "results", kind, *chosen, "-o", folder / f"{kind}.svg")
    assert (folder / f"{kind}.svg").read_text().startswith("<?xml")
    assert str(folder / f"{kind}.svg") in done.stdout


def test_plot_draws_maps_and_groups(compared):
    folder, *_ = compared
    salzarr("plot", folder / "maps.zarr", "maps", "-o", folder / "sheet.png")
    assert (folder / "sheet.png").read_bytes().startswith(b"\x89PNG")
    results = folder / "labeled"
    labels = folder / "labels.csv"
    labels.write_text(
        "image;label\n" + "".join(f"img{i:02d}.jpg;{'odd' if i % 2 else 'even'}\n" for i in range(8))
    )
    salzarr("compare", folder / "maps.zarr", results, "--metrics", "mse", "--labels", labels, "--no-report")
    picture = folder / "groups.png"
    salzarr("plot", results, "groups", "--metric", "mse", "--group-by", "label", "-o", picture)
    assert (folder / "groups.png").read_bytes().startswith(b"\x89PNG")


def test_verify_and_join(compared):
    folder, *_ = compared
    assert "intact" in salzarr("verify", folder / "maps.zarr").stdout
    salzarr("convert", folder / "maps.zarr", folder / "all.zarr", "--models", "VGG16")
    salzarr("convert", folder / "maps.zarr", folder / "all.zarr", "--append")
    assert json.loads(salzarr("info", folder / "all.zarr", "--json").stdout)["images"] == 8
    assert "intact" in salzarr("verify", folder / "all.zarr", "--source", folder / "maps.zarr").stdout


def test_verify_reads_the_source_as_convert_did(untidy, tmp_path):
    chosen = ("--model", "one=VGG16", "--strip-suffix", "3")
    salzarr("convert", untidy[0], tmp_path / "maps.zarr", *chosen)
    verify = ("verify", tmp_path / "maps.zarr", "--source", untidy[0])
    assert "intact" in salzarr(*verify).stdout
    assert "intact" in salzarr(*verify, *chosen).stdout
    assert "another map than the source has" in salzarr(*verify, "--model", "one=$a_$", code=3).stdout


def test_verify_prints_twenty_faults_at_most(tmp_path):
    for model in "ab":
        np.savez(tmp_path / f"{model}.npz", **{f"{n:02}": np.ones((4, 4)) for n in range(30)})
    salzarr("convert", tmp_path, tmp_path / "maps.zarr")
    np.savez(tmp_path / "b.npz", **{f"{n:02}": np.zeros((4, 4)) for n in range(30)})
    lines = salzarr("verify", tmp_path / "maps.zarr", "--source", tmp_path, code=3).stdout.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more; --json lists them all"


def test_convert_lists_what_it_would_read(tmp_path):
    for seed in (1, 2):
        for image in ("cat", "dog"):
            (tmp_path / f"vgg/seed{seed}").mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / f"vgg/seed{seed}/{image}.npy", np.ones((4, 4)))
    pattern = ("--pattern", "{architecture}/seed{seed}/{image}.npy")
    shown = salzarr("convert", tmp_path, "--list", *pattern).stdout
    for words in ("2 models x 2 images", "architecture", "vgg/2", "cat, dog", "(4, 4)", ".npy"):
        assert words in shown
    listed = json.loads(salzarr("convert", tmp_path, "--list", "--json", *pattern).stdout)
    assert listed["models"][1]["factors"] == {"architecture": "vgg", "seed": "2"}
    assert "name the STORE to write" in salzarr("convert", tmp_path, code=2).stderr


def test_a_model_that_is_lost_is_named_and_the_others_are_converted(tmp_path):
    for model in ("vgg", "vit"):
        (tmp_path / "Models" / model).mkdir(parents=True)
        np.save(tmp_path / "Models" / model / "cat.npy", np.ones((4, 4)))
    (tmp_path / "Models/swin").mkdir()
    (tmp_path / "Models/swin/cat.pkl").write_bytes(b"?")
    done = salzarr("convert", tmp_path / "Models", tmp_path / "maps.zarr", code=3)
    assert "Warning: swin is left out" in done.stderr
    assert "holds 1 .pkl file" in done.stderr
    assert xr.open_zarr(tmp_path / "maps.zarr").model.values.tolist() == ["vgg", "vit"]
    salzarr("convert", tmp_path / "Models", tmp_path / "maps.zarr", "--models", "vgg,vit")
    salzarr("convert", tmp_path / "Models", "--list", code=3)


def test_a_flipped_bit_is_found(untidy, tmp_path):
    salzarr("convert", untidy[0], tmp_path / "maps.zarr")
    chunk = max(
        (tmp_path / "maps.zarr" / "maps" / "c").rglob("0"), key=lambda p: p.is_file() and p.stat().st_size
    )
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    done = salzarr("verify", tmp_path / "maps.zarr", code=3)
    assert "img00" in done.stdout
    salzarr("compare", tmp_path / "maps.zarr", tmp_path / "results", "--metrics", "mse", code=1)


WRONG = [
    (["convert", "nowhere", "x.zarr"], 3, "nowhere"),
    (["convert", ".", "x.zarr", "--size", "big"], 2, "big"),
    (["convert", ".", "x.zarr", "--model", "VGG16"], 2, "NAME=PATH"),
    (["info", "nowhere.zarr"], 3, "nowhere.zarr"),
    (["compare", "nowhere.zarr", "results"], 3, "nowhere.zarr"),
    (["compare", "{store}", "{new}", "--metrics", "sim"], 2, "sim"),
    (["compare", "{store}", "{new}", "--metrics", "ssim:windows=3"], 2, "windows"),
    (["compare", "{store}", "{new}", "--metrics", "mse,mse"], 2, "mse"),
    (["compare", "{store}", "{new}", "--metrics", "hog"], 2, "48"),
    (["compare", "{store}", "{new}", "--models", "VGG"], 2, "VGG16"),
    (["compare", "{store}", "{new}", "--normalize", "loud"], 2, "loud"),
    (["compare", "{store}", "{new}", "--scheduler", "tcp:/x"], 2, "tcp:/x"),
    (["compare", "{store}", "{new}", "--memory", "1MiB"], 2, "MiB"),
    (["compare", "nowhere.zarr", "{new}", "--memory", "lots"], 2, "'lots' is no size"),
    (["compare", "nowhere.zarr", "{new}"], 3, "create it with 'salzarr convert'"),
    (["compare", "{store}", ".", "--metrics", "mse"], 3, "holds other files, such as"),
    (["compare", "{store}", ".", "--metrics", "mse", "--overwrite"], 3, "./results"),
    (["convert", "other.zarr", "{store}", "--append"], 3, "other.zarr: image img00 of VGG16"),
    (["convert", "small.zarr", "{store}", "--append", "--model", "new=VGG16"], 3, "12x12"),
    (["convert", "{store}", "{store}", "--overwrite"], 2, "both the source and the store"),
    (["report", "nowhere"], 3, "nowhere"),
    (["plot", "{results}", "pie"], 2, "pie"),
    (["plot", "{results}", "matrix", "--metric", "emd"], 2, "emd"),
    (["plot", "{results}", "matrix", "--photos", "."], 2, "--photos"),
    (["verify", "nowhere.zarr"], 3, "nowhere.zarr"),
    (["frobnicate"], 2, "frobnicate"),
    (["compare"], 2, "STORE"),
]


@pytest.mark.parametrize(("arguments", "code", "word"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_a_mistake_gets_one_sentence(compared, arguments, code, word, tmp_path, monkeypatch, capsys):
    folder, *_ = compared
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    for name, shape in (("other", (16, 16)), ("small", (12, 12))):
        convert(
            {"VGG16": xr.DataArray(np.ones((1, *shape)), {"image": ["img00"]}, ["image", "y", "x"])},
            f"{name}.zarr",
        )
    places = {"store": folder / "maps.zarr", "results": folder / "results", "new": tmp_path / "new"}
    assert run([argument.format(**places) for argument in arguments]) == code
    said = capsys.readouterr().err
    assert word in said
    assert len([line for line in said.splitlines() if line.startswith("Error")]) == 1
    assert not (tmp_path / "x.zarr").exists()
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_help_is_quick_and_complete():
    commands = [
        "convert",
        "compare",
        "report",
        "plot",
        "metrics",
        "info",
        "verify",
        "completion",
    ]
    shown = salzarr("--help").stdout
    assert all(command in shown for command in commands)
    assert "salzarr convert Models/ maps.zarr" in shown
    times = []
    for _ in range(3):
        began = time_of_children()
        salzarr("--help")
        times.append(time_of_children() - began)
    assert min(times) < 0.5


def test_module_version_and_completion():
    done = subprocess.run(
        [sys.executable, "-m", "salzarr", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("salzarr, version")
    for shell in ("zsh", "fish"):
        assert "_SALZARR_COMPLETE" in salzarr("completion", shell).stdout


def test_a_second_conversion_says_what_was_there(untidy, tmp_path):
    root, maps = untidy
    for source, store in (root, tmp_path / "a.zarr"), (tmp_path / "a.zarr", tmp_path / "b.zarr"):
        assert f"{len(maps)} maps written" in salzarr("convert", source, store).stdout
        assert (
            f"nothing to do: all {len(maps)} maps are in {store}" in salzarr("convert", source, store).stdout
        )
        assert f"{len(maps)} maps written" in salzarr("convert", source, store, "--overwrite").stdout


def test_an_unfinished_store_is_told_and_finished(untidy, tmp_path):
    root, maps = untidy
    shutil.copytree(root, tmp_path / "Models")
    bad = next((tmp_path / "Models").rglob("img04.npy"))
    good = bad.read_bytes()
    bad.write_bytes(good[:-4])
    done = salzarr("convert", tmp_path / "Models", tmp_path / "maps.zarr", code=3)
    assert str(bad) in done.stderr
    shown = salzarr("info", tmp_path / "maps.zarr").stdout
    assert re.search(r"complete +False", shown)
    assert re.search(r"unreadable +1", shown)
    bad.write_bytes(good)
    done = salzarr("convert", tmp_path / "Models", tmp_path / "maps.zarr")
    assert f"1 map written (1.00 kiB), {len(maps) - 1} were there already" in done.stdout


def test_a_note_is_said_once_and_not_at_all_if_quiet(untidy, tmp_path):
    shutil.copytree(untidy[0], tmp_path / "Models")
    np.save(tmp_path / "Models" / "stray.npy", np.ones((16, 16)))
    command = ("convert", tmp_path / "Models", tmp_path / "maps.zarr")
    assert salzarr(*command).stderr.count("are set aside") == 1
    assert salzarr("-q", *command).stderr == ""


def test_paths_are_shown_as_they_were_typed(compared, tmp_path, monkeypatch, capsys):
    folder, *_ = compared
    shutil.copytree(folder / "maps.zarr", tmp_path / "maps.zarr")
    next((tmp_path / "maps.zarr" / "maps" / "c" / "0").rglob("0")).joinpath("0/0").unlink()
    monkeypatch.chdir(tmp_path)
    assert run(["compare", "./maps.zarr/", "results", "--metrics", "mse"]) == 1
    said = capsys.readouterr().err
    assert "./maps.zarr: chunk" in said
    assert str(tmp_path) not in said


def test_every_option_is_explained():
    for name, command in cli.commands.items():
        assert command.short_help, name
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, (name, parameter.name)
    assert all(f"{kind} " in cli.commands["plot"].help for kind in KINDS)


def test_a_number_with_zeros_in_front_is_the_name_of_an_image(tmp_path):
    store = tmp_path / "numbered.zarr"
    rng = np.random.default_rng(0)
    convert({name: rng.random((12, 8, 8)) for name in "ab"}, store)
    for which, count in (("0003", 1), ("3", 3)):
        out = tmp_path / which
        rest = ["--metrics", "mse", "--bootstrap", "0", "--images", which]
        assert run(["-q", "compare", str(store), str(out), *rest]) == 0
        assert open_scores(out).sizes["image"] == count


def test_messages_name_options_here_and_arguments_in_python(tmp_path, capsys):
    for model in "ab":
        np.savez(tmp_path / f"{model}.npz", cat=np.ones((6, 8, 3)), dog=np.ones((6, 8, 3)))
    assert run(["convert", str(tmp_path), str(tmp_path / "maps.zarr")]) == 3
    assert "reduce them with --channel mean" in capsys.readouterr().err
    with pytest.raises(ValueError, match='reduce them with channel="mean"'):
        convert(tmp_path, tmp_path / "maps.zarr")
