"""Writes vectors.json: assignments computed from docs/format/assignment.md alone, without the Go code.

    python3 vectors.py > vectors.json      (Python 3, standard library only)
"""
import hashlib
import json

PLANS = [
    {"salt": "checkout/1", "coverage": 10000, "variants": [("control", 5000), ("candidate", 5000)]},
    {"salt": "checkout/2", "coverage": 10000, "variants": [("control", 5000), ("candidate", 5000)]},
    {"salt": "checkout/1", "coverage": 2500, "variants": [("control", 5000), ("candidate", 5000)]},
    {"salt": "prices", "coverage": 10000, "variants": [("a", 1), ("b", 9998), ("c", 1)]},
    {"salt": "rabais été", "coverage": 9000, "variants": [("v1", 3334), ("v2", 3333), ("v3", 3333)]},
    {"salt": "nobody", "coverage": 0, "variants": [("only", 10000)]},
    {"salt": "off", "coverage": 10000, "variants": [("v1", 0), ("v2", 10000)]},
]
UNITS = ["ada", "Ada", "o-1", "customer/00000042", "7", "naïve ☕", "a\0b", " ", "x" * 600] + ["unit-%d" % i for i in range(30)]


def scaled(four_bytes):
    return int.from_bytes(four_bytes, "big") * 10000 // 2**32


def assigned(plan, unit):
    digest = hashlib.sha256(plan["salt"].encode() + b"\0" + unit.encode()).digest()
    place, cover = scaled(digest[0:4]), scaled(digest[4:8])
    variant = None
    if cover < plan["coverage"]:
        end = 0
        for name, weight in plan["variants"]:
            end += weight
            if place < end:
                variant = name
                break
    return {"unit": unit, "place": place, "cover": cover, "variant": variant}


print(json.dumps(
    [{"salt": p["salt"], "coverage": p["coverage"], "variants": [{"name": n, "weight": w} for n, w in p["variants"]],
      "units": [assigned(p, u) for u in UNITS]} for p in PLANS],
    ensure_ascii=False, indent=1))
