"""Commands for auditors and outsiders: tree heads, proofs, and the program that checks them.

The group is `audit_commands`; other modules add commands to it.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import Refused
from domain.heads import SignedHead, VerifierKey, origin_of, parse_head
from infra.audit import proving
from infra.bootstrap import Runtime
from infra.cli.console import hint, out, print_json, progress, say, warn
from infra.cli.options import Json
from infra.files import whole_file
from infra.settings import load_settings
from infra.signing import verify_head
from producers.tree_heads import check_head, make_head, own_heads
from projections.counted import counted

audit_commands = typer.Typer(
    help="Signed tree heads of the ledger, and proofs that an outsider can check.\n\nExample: partner-ledger audit head",
    no_args_is_help=True,
    rich_markup_mode=None,
)

HEAD_BYTES = 65_536
"""More than any tree head has."""

SIZES_TOLD = 12
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")

To = Annotated[
    Path | None,
    typer.Option(
        "--to", metavar="FILE", help="The new file, or a folder for it (default: the current one, under a name told)."
    ),
]


@audit_commands.command("head")
def audit_head(
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The new file, or a folder for it (default: HOME/heads/)."),
    ] = None,
    json: Json = False,
) -> None:
    """Sign a tree head of all that is recorded now; put it on the topic of tree heads and into a file.

    The file is worth something where nobody who keeps the ledger can change it: keep it elsewhere, hand it to the auditor. Nothing
    is signed where the ledger contradicts a head that was signed before.

    Example: partner-ledger audit head --to /media/auditor
    """
    runtime = Runtime(load_settings(), say)
    tree, topic, key = runtime.growing_tree(), runtime.tree_heads(), runtime.signing_key()
    try:
        newest = _last(own_heads(topic, tree.ledger_id(), _check_of(runtime), warn))
        with progress(shown=not json) as bar:
            task = bar.add_task("Hashes", total=None)
            signed = make_head(tree, key, newest, lambda done, of: bar.update(task, completed=done, total=of))
    finally:
        tree.close()
    head = signed.head
    folder = runtime.settings.home / "heads"
    if to is None:
        folder.mkdir(parents=True, exist_ok=True)
    path = _place(to or folder, f"head-{head.size}-{head.time:%Y%m%dT%H%M%S.%fZ}.txt")
    with whole_file(path) as file:
        file.write(signed.text.encode())
        topic.publish(signed)
    document = {**_document(signed), "file": str(path), "key": key.verifier_key(head.origin).text}
    if json:
        print_json(document)
        return
    out.print(f"Tree head of {counted(head.size, 'event')} on {head.time:%Y-%m-%d at %H:%M:%S} UTC.")
    for title, field in (("Ledger", "ledger"), ("Root", "root"), ("File", "file"), ("Key", "key")):
        out.print(f"{title + ':':8}{document[field]}")
    hint("Keep the file where nobody who keeps the ledger can change it; give the key to whoever shall check proofs.")


@audit_commands.command("key")
def audit_key(*, json: Json = False) -> None:
    """Print the verifier key: what an outsider must be given, by another way than the proofs, to check them.

    Example: partner-ledger audit key
    """
    runtime = Runtime(load_settings(), say)
    text = runtime.signing_key().verifier_key(origin_of(runtime.tree.ledger_id())).text
    if json:
        print_json({"key": text, "file": str(runtime.settings.signing_key_path)})
        return
    out.print(text)


@audit_commands.command("prove")
def audit_prove(
    position: Annotated[int | None, typer.Argument(metavar="[POSITION]", min=1, help="The event's position.")] = None,
    *,
    partner: Annotated[
        str | None, typer.Option("--partner", metavar="PARTNER", help="Prove all events of this partner instead.")
    ] = None,
    head: Annotated[
        Path | None,
        typer.Option(
            "--head", metavar="FILE", help="The tree head to prove it against (default: the newest on the topic)."
        ),
    ] = None,
    to: To = None,
    json: Json = False,
) -> None:
    """Write a proof that an event is in the ledger, or all that a partner's balance rests on, for somebody with nothing of ours.

    `partner-ledger audit verifier` writes the program that checks it; it sums a partner's bonuses as well.

    Example: partner-ledger audit prove 17

    Example: partner-ledger audit prove --partner CH-0001 --to CH-0001.txt
    """
    if (position is None) == (partner is None):
        raise typer.BadParameter("name either a POSITION or a --partner")
    runtime = Runtime(load_settings(), say)
    signed = _newest(runtime) if head is None else head_from_file(runtime, head)
    check_head(runtime.tree, runtime.tree.moment()[0], signed.head)
    with progress(shown=not json and partner is not None) as bar:
        if partner is None:
            assert position is not None
            path = _place(to, f"proof-position-{position}.txt")
            lines = proving.inclusion(runtime.tree, signed, position)
        else:
            path = _place(to, f"proof-partner-{NOT_IN_A_NAME.sub('_', partner)[:100]}.txt")
            task = bar.add_task("Events", total=None)
            lines = proving.partner(
                runtime.tree, signed, partner, lambda done, of: bar.update(task, completed=done, total=of)
            )
        _write(path, lines)
    if json:
        print_json({"file": str(path), "position": position, "partner": partner, "head": _document(signed)})
        return
    what = f"event {position:,} is in the ledger" if partner is None else f"these are all events of {partner}"
    out.print(f"{path}: a proof that {what}, by the tree head of {counted(signed.head.size, 'event')}.")
    hint("To check it: `partner-ledger audit verifier` writes verify.py, which needs Python alone, and the key.")


@audit_commands.command("consistency")
def audit_consistency(
    size1: Annotated[int, typer.Argument(metavar="SIZE1", min=1, help="The size of the earlier tree head.")],
    size2: Annotated[int, typer.Argument(metavar="SIZE2", min=1, help="The size of the later one.")],
    *,
    heads: Annotated[
        list[Path] | None,
        typer.Option(
            "--head", metavar="FILE", help="A tree head kept as a file; may be repeated. Otherwise the topic's."
        ),
    ] = None,
    to: To = None,
    json: Json = False,
) -> None:
    """Write a proof that between two tree heads the ledger was only added to. Both are in it, so it stands alone.

    Example: partner-ledger audit consistency 1200 1734
    """
    if size1 > size2:
        raise typer.BadParameter(f"the earlier head comes first, so {size1} cannot be larger than {size2}")
    runtime = Runtime(load_settings(), say)
    found = _of_sizes(runtime, (size1, size2), [head_from_file(runtime, path) for path in heads or ()])
    size, _ = runtime.tree.moment()
    for signed in found:
        check_head(runtime.tree, size, signed.head)
    path = _place(to, f"proof-consistency-{size1}-{size2}.txt")
    _write(path, proving.consistency(runtime.tree, *found))
    if json:
        print_json({"file": str(path), "heads": [_document(signed) for signed in found]})
        return
    out.print(f"{path}: a proof that the ledger of {size2:,} events begins with that of {size1:,}.")


@audit_commands.command("verifier")
def audit_verifier(*, to: To = None, json: Json = False) -> None:
    """Write verify.py, which checks proofs on any machine with Python 3.9 or later and nothing of ours.

    Who trusts nobody takes it from the project's published source instead, and compares the SHA-256.

    Example: partner-ledger audit verifier --to /media/auditor
    """
    content = resources.files("infra.audit").joinpath("verify.py").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    path = _place(to, "verify.py")
    _write(path, [content])
    if json:
        print_json({"file": str(path), "sha256": sha256})
        return
    out.print(f"{path}, SHA-256 {sha256}")
    hint(f"To check a proof: python3 {path} PROOF --key KEY")


def _check_of(runtime: Runtime) -> Callable[[SignedHead, str], None]:
    """Give what checks a head's signature. Where this machine has no key, only an outsider who was given one can."""
    if not runtime.settings.signing_key_path.exists():
        return lambda signed, what: None
    key = runtime.signing_key()
    return lambda signed, what: verify_head(signed, key.verifier_key(signed.head.origin), what)


def _newest(runtime: Runtime) -> SignedHead:
    newest = _last(own_heads(runtime.tree_heads(), runtime.tree.ledger_id(), _check_of(runtime), warn))
    if newest is None:
        raise Refused("There is no tree head of this ledger yet: make one with `partner-ledger audit head`.")
    return newest


def head_from_file(runtime: Runtime, path: Path, key: VerifierKey | None = None) -> SignedHead:
    """Read a tree head that was kept, and check that it is this ledger's and signed; by this machine's key unless one is given.

    Raises:
        Refused: it is of another ledger.
        InvalidInput, IntegrityFault: it was changed, or is none.

    """
    what = f"The tree head in {path}"
    with path.open("rb") as file:
        signed = parse_head(file.read(HEAD_BYTES), what)
    ledger_id = runtime.tree.ledger_id()
    if signed.head.ledger_id != ledger_id:
        raise Refused(f"{what} is of another ledger ({signed.head.ledger_id}); this one is {ledger_id}.")
    if key is None:
        _check_of(runtime)(signed, what)
    else:
        verify_head(signed, key, what)
    return signed


def _of_sizes(runtime: Runtime, sizes: Sequence[int], given: Sequence[SignedHead]) -> list[SignedHead]:
    """Give a head for each size: one that was given, else the last one on the topic."""
    found = {signed.head.size: signed for signed in given}
    if not found.keys() >= set(sizes):
        on_topic = own_heads(runtime.tree_heads(), runtime.tree.ledger_id(), _check_of(runtime), warn)
        found = {signed.head.size: signed for signed in on_topic} | found
    for size in sizes:
        if size not in found:
            told = [f"{each:,}" for each in sorted(found)]
            shown = [*told[: SIZES_TOLD // 2], "…", *told[-SIZES_TOLD // 2 :]] if len(told) > SIZES_TOLD else told
            raise Refused(
                f"There is no tree head of {size:,} events on the topic; there are heads of {', '.join(shown) or 'no size'}. Name one"
                " of these, or a head kept as a file with --head."
            )
    return [found[size] for size in sizes]


def _last(heads: Iterator[SignedHead]) -> SignedHead | None:
    last = None
    for signed in heads:
        last = signed
    return last


def _place(to: Path | None, name: str) -> Path:
    """Give where a file goes: a folder gets the usual name."""
    return Path(name) if to is None else to / name if to.is_dir() else to


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with whole_file(path) as file:
        file.writelines(parts)


def _document(signed: SignedHead) -> dict[str, Any]:
    head = signed.head
    return {
        "ledger": str(head.ledger_id),
        "size": head.size,
        "time": head.time,
        "root": head.root.hex(),
        "streams_root": head.streams_root.hex(),
    }
