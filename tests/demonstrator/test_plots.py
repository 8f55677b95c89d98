"""Where a score lies: the words against a count, the picture against the words."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from demonstrator.brightness import models

from mint_jax.demonstrator.plots import ScorePlot
from mint_jax.demonstrator.words import Words


@pytest.mark.parametrize("score", [0.0, 0.123, 0.5, 0.97, 1.0])
def test_shares_below_a_score(score):
    model = models()[0]
    members, others = ScorePlot(model).below(score)
    assert members == int(100 * np.mean(model.members < score))
    assert others == int(100 * np.mean(model.non_members < score))


def _x(svg: str) -> float:
    return float(re.search(r'class="you" d="M([\d.]+)', svg).group(1))


def test_the_line_moves_with_the_score_and_stays_inside():
    plot = ScorePlot(models()[0])
    places = [_x(plot.svg(score, Words("en"))) for score in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert places == sorted(places)
    assert places[0] == 0 and places[-1] == 320
    assert len(set(places)) == 5


def test_it_is_wellformed_without_styles_and_says_what_it_shows():
    plot = ScorePlot(models()[0])
    root = ElementTree.fromstring(plot.svg(0.6, Words("es")))
    assert root.get("role") == "img"
    assert root.get("aria-label") == plot.caption(0.6, Words("es"))
    assert not [element for element in root.iter() if "style" in element.attrib]


def test_there_is_no_picture_without_known_photos():
    model = models()[0]
    none = type(model)(**{**vars(model), "members": np.zeros(0)})
    assert ScorePlot(none).svg(0.5, Words("en")) == ""


def test_scores_that_are_all_the_same():
    model = models()[0]
    same = type(model)(**{**vars(model), "members": np.ones(3), "non_members": np.ones(3)})
    ElementTree.fromstring(ScorePlot(same).svg(1.0, Words("en")))
