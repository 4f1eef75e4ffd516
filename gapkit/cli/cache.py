"""``gapkit cache``."""

from __future__ import annotations

from typing import Annotated

import typer


def cache(clear: Annotated[bool, typer.Option("--clear", help="Delete every entry.")] = False) -> None:
    """Show the features kept on disk, or clear them."""
    from gapkit.reports.text import cache_table, megabytes
    from gapkit.sources.cache import FeatureCache

    store = FeatureCache()
    if clear:
        typer.echo(f"freed {megabytes(store.clear())} in {store.directory}")
        return
    typer.echo(cache_table(store))
