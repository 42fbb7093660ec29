"""Parameters of a generator that may come from one description of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synth_estimators.tabular._base import BaseTabularGenerator as _Base
else:
    _Base = object

__all__ = ["TableMetadataMixin"]

_METADATA = ("field_names", "field_types", "primary_key", "anonymize_fields", "constraints")


class TableMetadataMixin(_Base):
    """``table_metadata`` of a generator of mixed tables."""

    def _setting(self, name):
        """Value of a parameter, or of the entry of ``table_metadata`` that stands for it."""
        told = self.table_metadata
        value = told.get(name) if told is not None and name in _METADATA else getattr(self, name)
        left_out = getattr(self, "_left_out", ())
        if name in ("field_types", "field_transformers") and value:
            return {label: kind for label, kind in value.items() if label not in left_out}
        if name == "discrete_columns" and value is not None and left_out:
            return [part for part in value if isinstance(part, bool) or part not in left_out]
        return value

    def _check_metadata(self):
        if self.table_metadata is None:
            return
        unknown = sorted(set(self.table_metadata) - set(_METADATA), key=str)
        if unknown:
            raise ValueError(
                f"table_metadata has unknown entries {unknown}; expected some of {list(_METADATA)}."
            )
        for name in _METADATA:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} and table_metadata are both given; move {name} into table_metadata "
                    "or leave table_metadata out."
                )
