"""A chapter's evidence as its notebook writes it: checks, controls and the verdict."""

from __future__ import annotations

import os

import numpy as np

from claimbook import claims, seeds
from claimbook.evidence import draw, lock, records
from claimbook.evidence.band import Band
from claimbook.evidence.errors import EvidenceError
from claimbook.evidence.interval import Measured, measure, real_numbers, validate
from claimbook.evidence.verdict import NOT_SEEN, decide

MODES = ("verify", "calibrate", "observe")


def mode() -> str:
    """Return how this run treats the lock, from ``CLAIMBOOK_MODE``.

    ``verify`` (the default): parts must match the lock and repeat its states. ``calibrate``: there may be no lock
    yet. ``observe``: parts must match the lock, but whatever comes out is recorded and nothing is raised.
    """
    name = os.environ.get("CLAIMBOOK_MODE", "verify") or "verify"
    if name not in MODES:
        raise EvidenceError(f"CLAIMBOOK_MODE is one of {', '.join(MODES)}, not {name!r}.")
    return name


def _measured(values: np.ndarray, measured: Measured, summary: str, trials: int | None) -> dict:
    """Plain data of a measured statistic, rounded so that a stored notebook stays small."""

    def rounded(array) -> list | float:
        return [rounded(x) for x in array] if isinstance(array, list) else float(f"{array:.6g}")

    return {
        "summary": summary,
        "trials": trials,
        "units": None if summary == "exact" else int(values.shape[0]),
        "cells": int(measured.estimate.size),
        "state": measured.state,
        "margin": rounded(measured.margin),
        "worst": rounded(list(measured.worst_cell)),
        "values": rounded(values.tolist()),
    }


def _refuse_band(name: str, band) -> None:
    if not isinstance(band, Band):
        raise EvidenceError(f"{name}: the band must be a Band, not {type(band).__name__}.")


class _Drawn:
    """Shown in a notebook as Markdown, with the evidence as output metadata."""

    def _markdown(self) -> str:
        raise NotImplementedError

    def _metadata(self) -> dict:
        return {}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/markdown": self._markdown(), "text/plain": self._markdown()}, self._metadata()


class Check(_Drawn):
    """One part of a claim: values per unit, a band, and the controls that the band must reject.

    Made by `Chapter.check`. The last expression of a notebook cell draws it.
    """

    def __init__(self, name, values, band, *, unit, fixed, core, expect, summary, trials):
        if not isinstance(name, str) or not draw.slug(name):
            raise EvidenceError(f"The name of a part is a sentence, not {name!r}.")
        _refuse_band(name, band)
        if not isinstance(core, bool | np.bool_):
            raise EvidenceError(f"{name}: core= is True or False, not {core!r}.")
        if expect not in ("holds", "fails"):
            raise EvidenceError(f"{name}: the expected state is holds or fails, not {expect!r}.")
        if summary != "exact" and not unit:
            raise EvidenceError(f"{name}: name the unit, the smallest thing that is redrawn whole.")
        self.name, self.band, self.summary, self.trials = name, band, summary, trials
        self.unit, self.fixed, self.core, self.expect = unit, fixed, bool(core), expect
        self._values = validate(values, summary, name, trials)
        self._controls: list[dict] = []
        self._planted: dict | None = None

    def control(self, name: str, values, *, intact: tuple | str) -> Check:
        """Put values from which the mechanism was taken away through the same statistic and band.

        Parameters
        ----------
        name : str
            What was taken away.
        values : array, of the shape of the check's values (the number of units may differ)
        intact : (str, array, Band) or str
            What was left as it was: a name, its values per unit (or one exact number) and the band that they must
            lie in; or one sentence, where nothing else *can* have changed because the same runs are used.

        Returns
        -------
        Check
            The check itself, so that a cell can end with it.
        """
        record = self._compare(name, values)
        sentence = isinstance(intact, str) and intact.strip()
        if not sentence and not (isinstance(intact, tuple | list) and len(intact) == 3):
            raise EvidenceError(f"{name}: intact= is a sentence, or a name, its values and a Band.")
        if sentence:
            record["intact"] = {"name": intact, "state": "holds"}
        else:
            what, left, band = intact
            _refuse_band(what, band)
            summary = "exact" if np.ndim(left) == 0 else "mean"
            array = validate(left, summary, what)
            record["intact"] = {
                "name": what,
                "band": band.as_dict(),
                **_measured(array, measure(array, band, summary), summary, None),
            }
            record["intact"]["_band"] = band
        # running a cell twice replaces the control
        self._controls = [control for control in self._controls if control["name"] != name] + [record]
        return self

    def planted(self, name: str, values) -> Check:
        """Show that the statistic could have seen the effect: values with the effect put in by hand must hold."""
        if self.expect != "fails":
            raise EvidenceError(f"{self.name}: an effect is planted only where the part is expected to fail.")
        self._planted = self._compare(name, values)
        return self

    def _compare(self, name: str, values) -> dict:
        if not isinstance(name, str) or not name.strip():
            raise EvidenceError(f"{self.name}: a control needs a name, what was taken away, not {name!r}.")
        array = validate(values, self.summary, name, self.trials)
        cells = array.shape if self.summary == "exact" else array.shape[1:]
        own = self._values.shape if self.summary == "exact" else self._values.shape[1:]
        if cells != own:
            raise EvidenceError(f"{name}: its cells have the shape {cells}, those of the check {own}.")
        return {
            "name": name,
            **_measured(
                array, measure(array, self.band, self.summary, self.trials), self.summary, self.trials
            ),
        }

    def record(self) -> dict:
        """Return the part as plain data, as it is stored in the notebook."""
        clean = [
            {**control, "intact": {k: v for k, v in control["intact"].items() if k != "_band"}}
            for control in self._controls
        ]
        return {
            "name": self.name,
            "slug": draw.slug(self.name),
            "unit": self.unit,
            "fixed": self.fixed,
            "core": self.core,
            "expect": self.expect,
            "band": self.band.as_dict(),
            **_measured(
                self._values,
                measure(self._values, self.band, self.summary, self.trials),
                self.summary,
                self.trials,
            ),
            "controls": clean,
            "planted": self._planted,
        }

    def definition(self) -> dict:
        """Return what the lock freezes: everything about the part but its values."""
        record = self.record()
        return {
            **{
                key: record[key]
                for key in (
                    "name",
                    "summary",
                    "trials",
                    "unit",
                    "fixed",
                    "units",
                    "cells",
                    "band",
                    "core",
                    "expect",
                )
            },
            "controls": [
                {
                    "name": c["name"],
                    "intact": {k: c["intact"][k] for k in ("name", "band") if k in c["intact"]},
                }
                for c in record["controls"]
            ],
            "planted": self._planted and self._planted["name"],
        }

    def _markdown(self) -> str:
        return draw.check_table(self.record())


class Number(_Drawn):
    """A named measurement that the prose quotes; made by `Chapter.number`."""

    def __init__(self, name: str, values, says: str):
        array = real_numbers(values, name)
        if np.isnan(array).any() or array.size == 0:
            raise EvidenceError(f"{name}: a number needs values without nan.")
        if np.isposinf(array).any() and np.isneginf(array).any():
            raise EvidenceError(f"{name}: values of inf and of -inf have no mean.")
        self.name, self.says = name, says
        several = array.ndim == 1 and array.size > 1 and np.isfinite(array).all()
        spread = float(array.std(ddof=1)) if several else None
        self.text = draw.number(float(array.mean()), spread)

    def _markdown(self) -> str:
        return f"{self.says}: {self.text}"

    def _metadata(self) -> dict:
        return {"claimbook": {"number": {"name": self.name, "text": self.text}}}


class Verdict(_Drawn):
    """What a chapter found, drawn as a table; its metadata hold the values of every unit."""

    def __init__(self, record: dict):
        self.record = record

    def _markdown(self) -> str:
        return draw.verdict_table(self.record)

    def _metadata(self) -> dict:
        return {"claimbook": {"evidence": self.record}}


class Chapter(_Drawn):
    """The evidence of one chapter of the book.

    Parameters
    ----------
    identifier : str
        The chapter's id in the registry.

    Raises
    ------
    claimbook.claims.RegistryError
        If the registry has no such id.
    """

    def __init__(self, identifier: str):
        self.claim = claims.registry()[identifier]
        self._mode = mode()
        self._parts: dict[str, Check] = {}
        self._untested: list[dict] = []
        self._lock = None
        if self._mode != "calibrate":
            found = lock.revisions(identifier)
            self._lock = found[-1] if found else None

    def check(
        self,
        name: str,
        values,
        band: Band,
        *,
        unit: str = "",
        fixed: str = "",
        core: bool = True,
        expect: str = "holds",
        summary: str = "mean",
        trials: int | None = None,
    ) -> Check:
        """Add one part of the claim.

        Parameters
        ----------
        name : str
            A sentence that is true or false; the part's name for ever.
        values : array (units, *cells); cells alone when ``summary="exact"``
        band : Band
        unit : str
            The smallest thing redrawn whole, such as ``"pre-training"``.
        fixed : str
            What all units share, such as ``"the digits"``.
        core : bool
            Whether the claim stands or falls with this part.
        expect : {"holds", "fails"}
            The state that the author declares; the lock freezes it.
        summary : {"mean", "median", "share", "exact"}
        trials : int, optional
            For counts of successes out of that many trials per unit.

        Raises
        ------
        EvidenceError
            For values that cannot carry the check; see `claimbook.evidence.interval.validate`.
        """
        check = Check(
            name,
            values,
            band,
            unit=unit,
            fixed=fixed,
            core=core,
            expect=expect,
            summary=summary,
            trials=trials,
        )
        self._parts[name] = check  # running a cell twice replaces the part
        return check

    def untested(self, name: str, why: str) -> None:
        """Declare a part of the paper's claim that this chapter does not test, and why."""
        gap = {"name": name, "why": why}
        if gap not in self._untested:
            self._untested.append(gap)

    def number(self, name: str, values, says: str) -> Number:
        """Name a measurement, so that the prose can quote it with the role ``{measured}`` and never goes stale."""
        return Number(name, values, says)

    def evidence(self) -> dict:
        """Return everything found so far as plain data, with the verdict or the problem that prevents one."""
        record = {
            "chapter": self.claim.id,
            "seed": seeds.root(),
            "lock": self._lock and self._lock["hash"],
            "parts": [check.record() for check in self._parts.values()],
            "untested": self._untested,
        }
        try:
            return {**record, "verdict": decide(record["parts"], self._untested), "problem": None}
        except EvidenceError as problem:
            return {**record, "verdict": "none", "problem": str(problem)}

    def verdict(self) -> None:
        """Draw the table of all parts and the verdict.

        Raises
        ------
        NotFrozen
            If the chapter has no lock.
        MovedBand
            If a part differs from what was frozen.
        EvidenceError
            If the evidence gives no verdict, or a part is not in its frozen state.
        """
        from IPython.display import display

        record = self.evidence()
        if self._mode == "calibrate":
            record["definitions"] = [check.definition() for check in self._parts.values()]
        display(Verdict(record))
        if self._mode == "calibrate":
            return
        revision = self._lock or lock.current(self.claim.id)
        for check in self._parts.values():
            lock.compare(check.definition(), revision, self.claim.id)
        frozen = [part["definition"]["name"] for part in revision["parts"]]
        missing = [name for name in frozen if name not in self._parts]
        if missing or self._untested != revision["untested"]:
            raise EvidenceError(
                f"The lock has parts that this run lacks: {'; '.join(missing) or 'the untested ones'}."
            )
        if self._mode == "verify":
            self._stand(record, revision)

    def _stand(self, record: dict, revision: dict) -> None:
        advice = (
            "Run the cells above in order from a fresh kernel; if it stays, try another CLAIMBOOK_SEED: a state that "
            "turns with the seed is a defect of the chapter, one that turns with your change is a finding."
        )
        wrong = [
            f"“{part['name']}” came out {part['state']}, frozen as {part['expect']}: measured {draw.interval(part)}, "
            f"band {draw.describe(part['band'])}."
            for part in record["parts"]
            if part["state"] != part["expect"]
        ]
        if record["problem"] or wrong or record["verdict"] != revision["verdict"]:
            problem = record["problem"] or f"Verdict {record['verdict']}, frozen as {revision['verdict']}."
            raise EvidenceError(" ".join([problem, *wrong, advice]))

    def _markdown(self) -> str:
        registry = claims.registry()
        titles = {need: registry.concepts.get(need, "").split(" — ")[0] for need in self.claim.needs}
        titles |= {need: registry[need].paper for need in self.claim.needs if need in registry.claims}
        seconds = records.seconds(self.claim.id)
        return draw.card(self.claim, self._lock, seconds, titles)


def verdict_expected(parts: list[dict], untested: list[dict]) -> str:
    """Return the verdict that the declared states give; what `make freeze` writes into the lock."""
    assumed = [
        {
            **part,
            "state": part["expect"],
            "controls": [
                {**c, "state": "fails", "intact": {**c["intact"], "state": "holds"}} for c in part["controls"]
            ],
            "planted": part["planted"] and {"name": part["planted"], "state": "holds"},
        }
        for part in parts
    ]
    return decide(assumed, untested)


__all__ = ["NOT_SEEN", "Chapter", "Check", "Number", "Verdict", "mode", "verdict_expected"]
