"""The tables of the kept moments, and of exposures that were told without a slate.

`kept_phase` and `kept_arm` hold what a report needs; `total_change` and `exposure_change` what was changed since, for
the next refresh. `told` is a fact: first exposures can be found again from it and from the slates.
"""

from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import TOTALS, exposure, metadata, unit_total
from lamella.adapters.sql.types import Identity, Unit, UTCDateTime, required

# `since` is the first day of the covariates, None for all the past; `drift` counts figures that checks found wrong.
kept_phase: Final = sa.Table(
    "kept_phase",
    metadata,
    sa.Column("phase", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("since", sa.Date),
    required("kept_at", UTCDateTime),
    sa.Column("checked_at", UTCDateTime),
    required("drift", sa.BigInteger),
)
# `sums` and `products` are whole numbers of any size, which JSON holds exactly and no column type of both stores does.
kept_arm: Final = sa.Table(
    "kept_arm",
    metadata,
    sa.Column("phase", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("variant", sa.Text, primary_key=True),
    required("units", sa.BigInteger),
    required("crossed", sa.BigInteger),
    required("slates", sa.BigInteger),
    required("fallback_slates", sa.BigInteger),
    required("sums", sa.JSON),
    required("products", sa.JSON),
)
# What was added to a row of `unit_total`.
total_change: Final = sa.Table(
    "total_change",
    metadata,
    sa.Column("id", Identity, primary_key=True),
    *(required(name, unit_total.c[name].type) for name in ("unit", "arm", "day", *TOTALS)),
)
# A row of `exposure` before it changed, nulls where there was none; of each unit and phase the first one counts.
exposure_change: Final = sa.Table(
    "exposure_change",
    metadata,
    sa.Column("id", Identity, primary_key=True),
    required("phase", sa.BigInteger),
    required("unit", Unit),
    *(sa.Column(name, exposure.c[name].type) for name in ("variant", "first_day", "counted", "crossed")),
)
told: Final = sa.Table(
    "told",
    metadata,
    sa.Column("digest", sa.LargeBinary(16), primary_key=True),
    sa.Column("time", UTCDateTime, nullable=False, index=True),
    required("unit", Unit),
    required("arm", sa.Integer),
    sqlite_with_rowid=False,
)
