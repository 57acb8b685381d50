"""The judgement of the curves; nothing is measured."""
import pytest

from benchmarks import growth

SIZES = (1, 10, 100, 1000, 10000)


@pytest.mark.parametrize("cost, expected", [
    (lambda size: 7.0, 0),
    (lambda size: 3.0 * size, 1),
    (lambda size: 0.5 * size ** 2, 2),
])
def test_the_exponent_of_a_power(cost, expected):
    assert growth.exponent([(size, cost(size)) for size in SIZES]) == pytest.approx(expected)


def test_fixed_costs_do_not_hide_a_square():
    assert growth.exponent([(size, 1000 + 0.01 * size ** 2) for size in SIZES]) > growth.PROPORTIONAL


def test_an_exponent_above_the_limit_is_missed():
    curve = next(curve for curve in growth.CURVES if curve.name == "send")
    assert [growth.verdict(curve, found) for found in (0.05, 0.054, 0.06)] == ["reached", "reached", "missed"]


def test_curves_are_chosen_by_name_and_cut_by_size():
    options = growth.arguments(["--curves", "idle,send", "--most", "100"])
    assert {curve.name: curve.sizes for curve in options.chosen} == {"send": (10, 100), "idle": (1, 10, 50, 100)}


def test_an_unknown_curve(capsys):
    with pytest.raises(SystemExit):
        growth.arguments(["--curves", "sned"])
    assert "there is no sned among: send," in capsys.readouterr().err
