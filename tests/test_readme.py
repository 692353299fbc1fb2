"""What the README and CONTRIBUTING show runs, and does what they say."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import sparsesolve as ss

ROOT = Path(__file__).resolve().parent.parent


def python_blocks(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(block: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(block, "<block>", "exec"), names)
    return names


def test_the_lines_in_the_readme_find_the_two_points(capsys):
    (block,) = python_blocks("README.md")
    assert len([line for line in block.splitlines() if line.strip()]) <= 22
    names = run(block)
    found = np.argsort(np.abs(names["solution"].x), axis=None)[-2:]
    assert set(found) == set(np.flatnonzero(names["scene"]))
    assert capsys.readouterr().out.count("\n") == 1


def test_the_operator_in_contributing_obeys_the_contract():
    (block,) = python_blocks("CONTRIBUTING.md")
    ss.testing.check_operator(run(block)["Scaling"](3.0, (4, 5)))


def test_the_exact_inverse_in_the_contracts_is_exact():
    (block,) = python_blocks("docs/contracts.md")
    names = run(block)
    A, w, u = names["Flip"](5), np.ones(5), np.arange(5.0)
    x, image, _ = names["ss"].linalg.regularized_inverse(A).solve(w, u, 0.5)
    np.testing.assert_allclose(x, (u[::-1] + 0.5 * w) / 1.5)
    np.testing.assert_allclose(image, A(x))


@pytest.mark.parametrize("package", [ss.operators, ss.priors, ss.solvers])
def test_every_name_in_the_table_exists(package):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| `")]
    column = [ss.operators, ss.priors, ss.solvers].index(package)
    names = [n for row in rows for n in re.findall(r"`([A-Z]\w+)`", row[column])]
    assert len(names) >= 5
    assert set(names) <= set(package.__all__)


def test_the_lines_on_radar_lead_from_files_to_a_picture(tmp_path, monkeypatch):
    skrf = pytest.importorskip("skrf")
    (block,) = python_blocks("docs/radar.md")
    used = [line for line in block.splitlines() if line.strip()]
    assert len([line for line in used if "import" not in line]) <= 15
    side = np.linspace(-0.12, 0.12, 9)
    places = np.array([(x, y, 0.0) for x in side for y in side])
    freq, point = np.linspace(6e9, 10e9, 31), [[0.02, -0.03, 0.3]]
    pairs = np.repeat(np.arange(81), 2).reshape(-1, 2)
    scan = ss.applications.radar.simulate(
        point, [1.0], places, places, freq, channels=pairs
    )
    for name, echo in (("target", 1), ("empty", 0)):
        (tmp_path / name).mkdir()
        for i, s11 in enumerate(scan.data.T):
            network = skrf.Network(
                f=freq, f_unit="Hz", s=0.1 + echo * s11[:, None, None]
            )
            network.write_touchstone(f"{i:03d}", dir=tmp_path / name)
    np.savetxt(tmp_path / "positions.csv", places, delimiter=",")
    monkeypatch.chdir(tmp_path)
    names = run(block)
    peak = ss.metrics.peak_position(names["solution"].x, names["grid"])
    np.testing.assert_allclose(peak, point[0], atol=0.0101)  # one voxel
    assert (tmp_path / "image.png").exists()


def test_the_lines_on_unmixing_lead_from_envi_to_maps(tmp_path, monkeypatch, capsys):
    pytest.importorskip("spectral")
    (block,) = python_blocks("docs/unmixing.md")
    used = [line for line in block.splitlines() if line.strip()]
    assert len([line for line in used if "import" not in line]) <= 15
    unmixing = ss.applications.unmixing
    scene = unmixing.unmixing_scene(rows=20, cols=20, noisy_bands=0)
    good = scene.cube.good_bands
    whole = dataclasses.replace(scene.cube, good_bands=None)
    monkeypatch.chdir(tmp_path)
    values = scene.cube.data[:, :, good] * 1e-4
    unmixing.save_envi("scene.hdr", values, whole)
    with Path("scene.hdr").open("a", encoding="utf-8") as header:
        print("wavelength units = Nanometers", file=header)
        print(
            f"wavelength = {{{', '.join(map(str, whole.wavelengths[good]))}}}",
            file=header,
        )
    names = run(block)
    truth = scene.endmembers[:, good]
    assert ss.metrics.spectral_angle(names["found"].endmembers, truth) < 0.1
    maps = ss.load("abundances.hdr")
    assert maps.transform == scene.cube.transform
    np.testing.assert_array_equal(maps.valid, scene.cube.valid)
    assert ss.load("unmixing.h5").abundances.shape == (20, 20, 4)
    assert all(Path(f"{n}.png").exists() for n in ("overview", "errors", "bands"))


def test_the_lines_on_channels_lead_to_an_estimate(tmp_path, monkeypatch, capsys):
    (block,) = python_blocks("docs/channel.md")
    used = [line for line in block.splitlines() if line.strip()]
    assert len([line for line in used if "import" not in line]) <= 15
    channel, rng = ss.applications.channel, np.random.default_rng(1)
    cosines = channel.cosine_grid(8)
    lab = {
        "mobile": channel.steering_matrix(4, cosines),
        "cascade": channel.steering_matrix(16, cosines),
        "base": channel.steering_matrix(8, cosines),
        "pilots": rng.choice([1, -1, 1j, -1j], (4, 3)),
        "patterns": rng.choice([1.0, -1.0], (16, 6)),
    }
    factors, synthesis = channel.irs_factors(*lab.values())
    x = np.zeros((8, 8, 8), complex)
    x[2, 5, 3:5] = 2, 1j
    y = ss.operators.Kronecker(*factors)(x)
    y += 0.01 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    monkeypatch.chdir(tmp_path)
    np.savez("lab.npz", y=y, **lab)
    names = run(block)
    found, true = names["found"], ss.operators.Kronecker(*synthesis)(x)
    assert channel.relative_squared_error(found.channel, true) < 1e-2
    assert channel.support_recovery(found.x, x) == 1
    inside = (names["low"] <= np.abs(true)) & (np.abs(true) <= names["high"])
    assert inside.mean() > 0.5
    assert "learned" in capsys.readouterr().out
    assert ss.load("uplink.h5").noise_variance is None
    assert all(Path(f"{n}.png").exists() for n in ("channel", "coefficients"))


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/contracts.md",
        "docs/radar.md",
        "docs/unmixing.md",
        "docs/channel.md",
        "benchmarks/RADAR.md",
    ],
)
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    folder = (ROOT / name).parent
    missing = [target for target in targets if not (folder / target).exists()]
    assert not missing
