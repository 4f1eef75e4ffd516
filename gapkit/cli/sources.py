"""``gapkit sources``."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from gapkit.cli import options as common


def sources(as_json: common.AsJson = False) -> None:
    """List the sources: what is bundled, what short names mean, what is cached locally."""
    from gapkit.reports.text import sources_table
    from gapkit.sources.listing import list_sources

    listings = [asdict(listing) for listing in list_sources()]
    typer.echo(json.dumps(listings, indent=2) if as_json else sources_table(listings))
