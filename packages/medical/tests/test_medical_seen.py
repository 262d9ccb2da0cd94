"""What a model has seen, by names: counted once, with what its weights had seen before."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfar_medical.cases import Case
from nearfar_medical.seen import Seen, overlap


def cases(*names):
    """``anna`` or ``anna:2``, whose subject is anna."""
    return [Case(n.replace(":", "_"), n.partition(":")[0], (Path(n),)) for n in names]


def test_a_volume_counts_once_and_by_the_most_it_has_told():
    seen = Seen.of(cases("anna"), cases("ben"), cases("anna", "ben", "cleo"))
    found = overlap(seen, cases("anna", "ben", "cleo:2", "dora"))
    assert found.seen == {"labelled": 1, "validation": 1, "images": 1}
    assert found.note() == (
        "3 of these 4 volumes were trained on (1 with labels, 1 to choose the weights, "
        "1 in pre-training, without labels)"
    )
    assert found.in_short() == ", 3 of them trained on"
    assert overlap(seen, cases("dora")).note() is None


def test_a_case_is_known_by_its_own_name_where_its_subject_is_called_otherwise():
    before, after = (Case("scan1", subject, (Path("x"),)) for subject in ("anna", "scan1"))
    assert overlap(Seen.of([before]), [after]).seen == {"labelled": 1}
    # The name of a case is not the name of a subject.
    other = Case("scan2", "scan1", (Path("y"),))
    assert overlap(Seen.of([before]), [other]).seen == {}


@pytest.mark.parametrize("test", [cases("anna"), cases("dora")])
def test_weights_of_which_nothing_is_known(test):
    seen = Seen.of(cases("anna")).after(None)
    note = overlap(seen, test).note()
    assert note.endswith("it is not known which were trained on by the weights it began with")
    assert note.startswith("1 of these 1 volumes were trained on") == (test[0].name == "anna")
    # And of what was trained from these.
    assert not Seen.of(cases("ben")).after(seen).whole
    assert overlap(None, test).note() == "it is not known which of these 1 volumes were trained on"


def test_weights_bring_what_they_have_seen():
    seen = Seen.of(cases("anna")).after(Seen.of(images=cases("anna", "ben")))
    assert overlap(seen, cases("anna", "ben")).seen == {"labelled": 1, "images": 1}
    assert Seen.from_state(seen.state()) == seen


def test_no_name_can_be_read_from_what_is_kept():
    kept = str(Seen.of(cases("anna:2"), images=cases("ben")).state())
    assert "anna" not in kept
    assert "ben" not in kept
