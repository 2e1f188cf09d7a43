"""From the states of the parts to the verdict on the claim. Plain rules on plain data."""

from __future__ import annotations

from claimbook.evidence.errors import EvidenceError

SUPPORTED = "supported"
PARTLY = "partly supported"
NOT_SEEN = "not seen at this scale"
VERDICTS = (SUPPORTED, PARTLY, NOT_SEEN)


def decide(parts: list[dict], untested: list[dict] = ()) -> str:
    """Return the verdict.

    Parameters
    ----------
    parts : list of dict
        Each with ``name``, ``core``, ``state``, ``controls`` (each with ``name``, ``state`` and ``intact``, a dict
        with ``name`` and ``state``), and ``planted`` (None or a dict with ``name`` and ``state``).
    untested : list of dict
        Parts of the paper's claim that the chapter does not test.

    Returns
    -------
    str
        *supported*: every part holds and none is untested. *partly supported*: every core part holds, another
        fails or is untested. *not seen at this scale*: a core part fails, while an effect planted on purpose
        shows that the statistic could have seen it.

    Raises
    ------
    EvidenceError
        If there is no core part, anything is unsettled, a control is missing or not disjoint from its band,
        something that a control should have left intact is not, or a part fails although nothing shows that
        it could have held.
    """
    if not any(part["core"] for part in parts):
        raise EvidenceError("No verdict: at least one part of the claim must be core.")
    problems = [problem for part in parts for problem in _problems(part)]
    if problems:
        raise EvidenceError("No verdict. " + " ".join(problems))
    if any(part["core"] and part["state"] == "fails" for part in parts):
        return NOT_SEEN
    if untested or any(part["state"] == "fails" for part in parts):
        return PARTLY
    return SUPPORTED


def _problems(part: dict) -> list[str]:
    name, found = part["name"], []
    if part["state"] not in ("holds", "fails", "unsettled"):
        found.append(f"The state of “{name}” is holds, fails or unsettled, not {part['state']!r}.")
    if part["state"] == "unsettled":
        found.append(f"“{name}” is unsettled: its interval straddles an edge of the band.")
    if not part["controls"]:
        found.append(f"“{name}” has no control, so nothing shows that it could fail.")
    for control in part["controls"]:
        if control["state"] != "fails":
            found.append(
                f"The control “{control['name']}” of “{name}” is not disjoint from the band ({control['state']})."
            )
        if control["intact"]["state"] != "holds":
            found.append(
                f"Under the control “{control['name']}”, “{control['intact']['name']}” is not intact."
            )
    if part["state"] == "fails":
        planted = part["planted"]
        if planted is None:
            found.append(
                f"“{name}” fails, and no planted effect shows that the statistic could have seen it."
            )
        elif planted["state"] != "holds":
            found.append(f"The effect planted for “{name}” was not seen ({planted['state']}).")
    return found
