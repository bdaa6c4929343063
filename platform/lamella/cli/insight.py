"""`lamella models insight` and `lamella models nearest`: what a model looks like inside."""

from pathlib import Path

import click

from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of
from lamella.errors import InvalidInput
from lamella.services.insight import Biases, Portrait, Wanted

_BRIEF = 5


@click.command()
@click.argument("reference")
@click.option("--clusters", type=int, default=6, show_default=True, help="Clusters of items, 2 to 8.")
@click.option("--points", type=int, default=500, show_default=True, help="Most items on the map, 10 to 2000.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the clusters and of what is drawn.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write insight.html and SVG pictures here."
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of the page.")
@as_json
@data_dir
@example("lamella models insight mf@3", "lamella models insight mf --out insight --lang zh")
def insight(
    reference: str,
    *,
    clusters: int,
    points: int,
    seed: int,
    out: Path | None,
    lang: str,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Look inside the version REFERENCE: biases, clusters and a map of its items, its learning curve."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        portrait = tools.insight.show(reference, Wanted(clusters=clusters, points=points, seed=seed))
    written = _write(portrait, out, lang) if out is not None else []
    if as_json:
        print_json(portrait.document())
        return
    _show(portrait)
    for path in written:
        click.echo(f"wrote {path}")


@click.command()
@click.argument("reference")
@click.argument("item")
@click.option("--k", default=10, show_default=True, help="How many, 1 to 100.")
@as_json
@data_dir
@example("lamella models nearest mf@3 article-17 --k 5")
def nearest(reference: str, item: str, k: int, *, as_json: bool, data_dir: Path | None) -> None:
    """Show the items whose vectors in REFERENCE point most in the direction of ITEM's, with the cosine."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        document = tools.insight.nearest(reference, item, k)
    if as_json:
        print_json(document)
    elif document["undefined"]:
        click.echo(document["undefined"])
    else:
        near = document["nearest"]
        rows = near if isinstance(near, list) else []
        print_table(
            ("item", "similarity", "category", "title"),
            ({**each, "similarity": f"{each['similarity']:.3f}"} for each in rows),
        )


def _write(portrait: Portrait, folder: Path, lang: str) -> list[Path]:
    """Writes the page and its pictures; returns where. Raises InvalidInput where the folder cannot be written."""
    from lamella.reporting.insight import render_files, render_insight_page

    files = {"insight.html": render_insight_page(portrait, lang=lang), **render_files(portrait, lang=lang)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in files]


def _show(portrait: Portrait) -> None:
    look = portrait.look
    click.echo(
        f"{portrait.version.reference} ({portrait.version.kind}): {look.items:,} items, {look.users:,} users, "
        f"vectors of length {look.length} for {look.placed:,} items"
    )
    if look.course is not None:
        best = look.course.best_epoch
        click.echo(
            f"\nlearning curve: {len(look.course.training)} epochs, epoch {best} was kept; "
            f"validation loss {look.course.validation[0]:.5f} at the start, {look.course.validation[best]:.5f} then"
        )
    for name, biases in (("items", look.item_biases), ("users", look.user_biases)):
        if biases.count:
            _show_biases(portrait, name, biases)
    if look.clusters:
        click.echo("\nclusters of items")
        print_table(("cluster", "items", "categories", "nearest to the centre"), _cluster_rows(portrait))
    for reason in dict.fromkeys(look.undefined.values()):
        click.echo(f"\n{reason}")


def _show_biases(portrait: Portrait, name: str, biases: Biases) -> None:
    click.echo(
        f"\nbiases of {biases.count:,} {name}: mean {biases.mean:+.3f}, standard deviation {biases.deviation:.3f}"
    )
    ends = [("highest", key, bias) for key, bias in biases.top[:_BRIEF]]
    ends += [("lowest", key, bias) for key, bias in reversed(biases.bottom[:_BRIEF])]
    print_table(
        ("end", "key", "bias", "title"),
        (
            {
                "end": end,
                "key": key,
                "bias": f"{bias:+.3f}",
                "title": portrait.items[key].title if name == "items" and key in portrait.items else "",
            }
            for end, key, bias in ends
        ),
    )


def _cluster_rows(portrait: Portrait) -> list[dict[str, object]]:
    return [
        {
            "cluster": number,
            "items": one.size,
            "categories": ", ".join(f"{name} {share:.0%}" for name, share in portrait.categories(number)),
            "nearest to the centre": "; ".join(portrait.title(key) for key, _ in one.typical[:3]),
        }
        for number, one in enumerate(portrait.look.clusters, start=1)
    ]
