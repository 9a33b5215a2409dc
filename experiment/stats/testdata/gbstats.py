"""Writes gbstats.json: inputs, and what GrowthBook's gbstats 0.8.0 makes of them.

    python3 -m venv v && v/bin/pip install gbstats==0.8.0 numpy==1.26.4 scipy==1.17.1
    v/bin/python gbstats.py > gbstats.json

The tests in Go read gbstats.json; nobody needs Python for them. The numbers are drawn with a fixed seed. Quantiles are
numpy's and adjusted p-values scipy's: gbstats leaves the former to SQL and has none of the latter.
"""
import json
import math
import os
import sys
from importlib.metadata import version

# This file is named as the library is: its folder must not be where Python looks for it.
sys.path = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]

import numpy as np
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, RatioStatistic, RegressionAdjustedStatistic, SampleMeanStatistic
from gbstats.utils import check_srm
from scipy.stats import false_discovery_control

assert version("gbstats") == "0.8.0", version("gbstats")
random = np.random.default_rng(20260102)


def sums(value, denominator=None, before=None):
    """The sums in the order of Moments: value, denominator, before, beforeDenominator."""
    n = len(value)
    columns = [np.asarray(c if c is not None else np.zeros(n), dtype=float) for c in (value, denominator, before, None)]
    return {
        "n": n,
        "sum": [float(c.sum()) for c in columns],
        "products": [float((columns[i] * columns[j]).sum()) for i in range(4) for j in range(i, 4)],
    }


def single(s, column, product, binary):
    if binary:
        return ProportionStatistic(n=s["n"], sum=s["sum"][column])
    return SampleMeanStatistic(n=s["n"], sum=s["sum"][column], sum_squares=s["products"][product])


def statistic(metric, s):
    binary = metric.get("binary", {})
    now = single(s, 0, 0, metric["kind"] == "conversion" or binary.get("value"))
    if metric["kind"] == "ratio":
        return RatioStatistic(n=s["n"], m_statistic=now, d_statistic=single(s, 1, 4, binary.get("denominator")),
                              m_d_sum_of_products=s["products"][1])
    if metric.get("cuped"):
        return RegressionAdjustedStatistic(n=s["n"], post_statistic=now, pre_statistic=single(s, 2, 7, binary.get("before")),
                                           post_pre_sum_of_products=s["products"][2], theta=0)
    return now


def case(name, metric, control, treatment, method="fixed", difference="relative", alpha=0.05, tuning=5000.0, share=1.0, days=1.0):
    common = {"difference_type": difference, "traffic_proportion_b": share, "phase_length_days": days, "alpha": alpha}
    a, b = statistic(metric, control), statistic(metric, treatment)
    if method == "sequential":
        test = SequentialTwoSidedTTest(a, b, SequentialConfig(sequential_tuning_parameter=tuning, **common))
    else:
        test = TwoSidedTTest(a, b, FrequentistConfig(**common))
    result = test.compute_result()
    assert result.error_message is None, (name, result.error_message)
    return {
        "name": name, "metric": metric, "control": control, "treatment": treatment,
        "options": {"method": method, "difference": difference, "alpha": alpha, "tuning": tuning, "share": share, "days": days},
        "want": {
            "controlMean": test.stat_a.unadjusted_mean, "treatmentMean": test.stat_b.unadjusted_mean,
            "controlDeviation": test.stat_a.stddev, "treatmentDeviation": test.stat_b.stddev,
            "lift": result.expected, "low": result.ci[0], "high": result.ci[1], "p": float(result.p_value),
            "standardError": float(result.uplift.stddev), "freedom": test.dof if method == "fixed" else 0,
            "theta": getattr(test.stat_a, "theta", 0),
        },
    }


def population(n, m, effect):
    """A control of n and a treatment of m units: spending that depends on what was spent before, orders, purchases or not."""
    def variant(k, factor):
        before = random.gamma(2, 20, k)
        spent = np.maximum(0, factor * (0.6 * before + random.gamma(2, 10, k)))
        orders = 1 + random.poisson(1 + before / 40)
        bought = (random.random(k) < 0.1 * factor + before / 1000).astype(float)
        active = (before > np.median(before)).astype(float)
        return {"spent": spent, "orders": orders, "bought": bought, "before": before, "active": active, "visited": (random.random(k) < 0.7).astype(float)}
    return variant(n, 1), variant(m, 1 + effect)


def cases():
    metrics = {
        "mean": ({"kind": "mean"}, lambda v: sums(v["spent"])),
        "sum": ({"kind": "sum"}, lambda v: sums(v["spent"])),
        "conversion": ({"kind": "conversion"}, lambda v: sums(v["bought"])),
        "ratio": ({"kind": "ratio"}, lambda v: sums(v["spent"], v["orders"])),
        "ratio of a binary value": ({"kind": "ratio", "binary": {"value": True}}, lambda v: sums(v["bought"], v["orders"])),
        "ratio by a binary denominator": ({"kind": "ratio", "binary": {"denominator": True}}, lambda v: sums(v["spent"] * v["visited"], v["visited"])),
        "mean, CUPED": ({"kind": "mean", "cuped": True}, lambda v: sums(v["spent"], None, v["before"])),
        "mean, CUPED by a binary": ({"kind": "mean", "cuped": True, "binary": {"before": True}}, lambda v: sums(v["spent"], None, v["active"])),
        "conversion, CUPED": ({"kind": "conversion", "cuped": True}, lambda v: sums(v["bought"], None, v["before"])),
        "conversion, CUPED by a binary": ({"kind": "conversion", "cuped": True, "binary": {"before": True}}, lambda v: sums(v["bought"], None, v["active"])),
    }
    for n, m, effect in ((60, 45, 0.4), (800, 300, -0.1), (5000, 5100, 0.03), (40000, 10000, 0.0)):
        control, treatment = population(n, m, effect)
        for name, (metric, of) in metrics.items():
            metric = dict(metric, name=name)
            a, b = of(control), of(treatment)
            for options in (
                {}, {"difference": "absolute", "alpha": 0.01}, {"difference": "scaled", "share": m / (n + m), "days": 14.0},
                {"method": "sequential"}, {"method": "sequential", "difference": "absolute", "alpha": 0.1, "tuning": 600.0},
                {"method": "sequential", "difference": "scaled", "share": 0.3, "days": 7.0, "tuning": 50000.0},
            ):
                yield case(f"{name}, {n} and {m}", metric, a, b, **options)
    # Few units, and many.
    for name, metric, a, b in (
        ("two and three units", {"kind": "mean"}, sums(np.array([3.0, 5.0])), sums(np.array([4.0, 8.0, 9.5]))),
        ("millions", {"kind": "conversion"}, sums(np.repeat([1.0, 0.0], [98_000, 902_000])), sums(np.repeat([1.0, 0.0], [100_500, 899_500]))),
    ):
        for method in ("fixed", "sequential"):
            yield case(name, dict(metric, name=name), a, b, method=method)


def srm():
    for counts, weights in (
        ([500, 500], [0.5, 0.5]), ([5100, 4900], [0.5, 0.5]), ([10300, 9700], [0.5, 0.5]), ([810, 205], [0.8, 0.2]),
        ([3334, 3300, 3401], [0.3334, 0.3333, 0.3333]), ([1, 2, 3, 4], [1, 2, 3, 4]), ([100, 160], [5, 5]),
    ):
        yield {"counts": counts, "weights": weights, "p": float(check_srm(counts, weights))}


def quantiles():
    for n in (1, 2, 9, 100):
        x = [round(float(v), 6) for v in random.lognormal(3, 1, n)]
        for q in (0, 0.01, 0.5, 0.9, 0.99, 1):
            yield {"values": x, "q": q, "want": float(np.quantile(x, q))}


def benjamini_hochberg():
    for n in (1, 2, 5, 12):
        p = [round(float(v) ** 2, 6) for v in random.random(n)]
        yield {"p": p, "want": [float(v) for v in false_discovery_control(p, method="bh")]}


def finite(x):
    if isinstance(x, dict):
        return all(finite(v) for v in x.values())
    if isinstance(x, (list, tuple)):
        return all(finite(v) for v in x)
    return not isinstance(x, float) or math.isfinite(x)


out = {"gbstats": version("gbstats"), "cases": list(cases()), "srm": list(srm()), "quantiles": list(quantiles()),
       "benjaminiHochberg": list(benjamini_hochberg())}
assert finite(out)


def lines(items):
    return "[\n" + ",\n".join(json.dumps(i, default=float) for i in items) + "]"


print("{" + ",\n".join(f"{json.dumps(k)}: {lines(v) if isinstance(v, list) else json.dumps(v)}" for k, v in out.items()) + "}")
