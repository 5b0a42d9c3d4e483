"""Download of published checkpoints: resumed where it was cut off, and verified."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from sapiens.checkpoints import FORMS, Entry, checkpoint_root
from sapiens.utils.checkpoint import read_checkpoint

__all__ = ['compare_with_card', 'download']


def download(
    entry: Entry,
    form: str = 'original',
    root: str | Path | None = None,
    endpoint: str | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Download a published checkpoint to its place below the root, unless it exists. The license of its weights is shown first.
    Own weights are part of the package, and nothing is downloaded.

    Received data is kept in ``.<file>.<checksum>.part`` beside it, so that the next call resumes. The file gets its name when its
    size and checksum are those of the hub (or the table).

    Args:
        form: ``'original'``, ``'torchscript'`` or ``'bfloat16'``; see :meth:`Entry.default_form`.
        root: instead of ``$SAPIENS_CHECKPOINT_ROOT``.
        endpoint: of a hub instead of ``$HF_ENDPOINT`` or https://huggingface.co.
        say: function that is given a line of text for each step.

    Returns:
        Path of the file.

    Raises:
        ConnectionError: the hub cannot be reached or refuses; the message says how to download by hand.
        OSError: the disk is too full, or another process downloads the file.
        ValueError: a form that is not published, a repository without such a file, or a damaged file.
    """
    form = entry.default_form(form)
    root = checkpoint_root() if root is None else Path(root).expanduser()
    places = entry.places(root, form)
    for place in places:
        if place.is_file():
            say(f'{entry.name}: {place} {"is part of the package" if entry.is_own else "is there already"}')
            return place
    target = places[0]
    if entry.is_own:
        raise ValueError(f'{entry.name} is not on the hub: {entry.how_to_get(form, target)}')
    say(entry.about_licence())
    name, size, sha256 = _on_hub(entry, form, target, endpoint)
    sha256 = entry.sha256.get(form) or sha256
    size = entry.bytes.get(form) or size
    partial = target.with_name(f'.{target.name}.{(sha256 or "unknown")[:12]}.part')
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = partial.stat().st_size if partial.is_file() else 0
    if size and done > size:
        partial.unlink()  # it cannot be the beginning of this file
        done = 0
    if size and shutil.disk_usage(partial.parent).free < size - done:
        raise OSError(
            f'{entry.name} needs {_megabytes(size - done)} more in {partial.parent}, which has less free space'
        )
    start = f', from {_megabytes(done)} on' if done else ''
    say(f'{entry.name}: {name} of {entry.repos[form]}{f", {_megabytes(size)}" if size else ""}{start}')
    if not size or done < size:
        _fetch(entry, form, name, partial, size, target, endpoint)
    _verify(partial, size, sha256)
    os.replace(partial, target)
    say(
        f'{entry.name}: {target}, {"size and sha256 as stated" if sha256 else "size as stated, no checksum was given"}'
    )
    return target


def _on_hub(entry: Entry, form: str, target: Path, endpoint: str | None) -> tuple[str, int | None, str | None]:
    """Name, size and sha256, as far as the hub knows them, of a form: by one of its names, else the only one with its ending."""
    from huggingface_hub import HfApi

    repo = entry.repos[form]
    try:
        listed = HfApi(endpoint=endpoint).model_info(repo, files_metadata=True).siblings or []
    except Exception as error:  # offline, refused, timed out: as many types as the versions of two libraries have
        raise ConnectionError(_explain(error, entry, form, target)) from error
    wanted = {PurePosixPath(name).name for name in entry.files(form)}
    found = [file for file in listed if PurePosixPath(file.rfilename).name in wanted]
    if not found:
        found = [file for file in listed if file.rfilename.endswith(FORMS[form])]
    if len(found) != 1:
        raise ValueError(
            f'{repo} has {len(found)} files that could be {sorted(wanted)[0]} (it lists '
            f'{", ".join(file.rfilename for file in listed[:8]) or "nothing"}): download the right one by hand to {target}'
        )
    (file,) = found
    return file.rfilename, file.size, file.lfs.sha256 if file.lfs else None


def _fetch(
    entry: Entry, form: str, name: str, partial: Path, size: int | None, target: Path, endpoint: str | None
) -> None:
    # The library's own download does not resume in a new process. Its transfer can start anywhere.
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(entry.repos[form], name, endpoint=endpoint)
    options = dict(headers=build_hf_headers(), expected_size=size, displayed_filename=PurePosixPath(name).name)
    try:
        with open(partial, 'ab') as file:
            _lock(file)
            http_get(url, file, resume_size=file.tell(), **options)
    except BlockingIOError as error:
        raise OSError(f'{partial} is being written by another download: wait for it, or stop it') from error
    except Exception as error:
        kept = partial.stat().st_size
        if size is not None and kept == size:
            return  # complete: the checksum decides
        reason = f'{_explain(error, entry, form, target)}\n{_megabytes(kept)} are kept'
        raise ConnectionError(f'{reason}: the same command continues from there') from error


def _lock(file) -> None:
    """Keep a second download from writing to a file. The lock ends with the process."""
    with contextlib.suppress(ImportError):  # Windows
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _explain(error: Exception, entry: Entry, form: str, target: Path) -> str:
    repo, kind = entry.repos[form], type(error).__name__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), 'no reason given')
    is_gated = kind == 'GatedRepoError'
    hint = f'Accept the license at https://huggingface.co/{repo} and set HF_TOKEN. ' if is_gated else ''
    return f'{repo} could not be fetched ({kind}: {first}). {hint}{entry.how_to_get_by_hand(form, target)}'


def _verify(path: Path, size: int | None, sha256: str | None) -> None:
    """Remove and refuse a file of another size or checksum."""
    found = path.stat().st_size
    problem = f'it has {found} bytes instead of {size}' if size is not None and found != size else ''
    if not problem and sha256:
        from huggingface_hub.utils.sha import sha_fileobj

        with open(path, 'rb') as file:
            digest = sha_fileobj(file).hex()
        if digest != sha256:
            problem = f'its sha256 is {digest} instead of {sha256}'
    if problem:
        path.unlink()
        raise ValueError(f'{path.name} arrived damaged: {problem}. It was removed: run the same command again')


def compare_with_card(entry: Entry, path: Path) -> list[str]:
    """Differences between the tensors of a file and those of the published model, one line each.

    Additional tensors (of a decoder, of a preprocessor) are no difference.
    """
    expected = {name.removeprefix('backbone.'): shape for name, shape in entry.shapes().items()}
    found = {
        name.removeprefix('backbone.'): tuple(value.shape) for name, value in read_checkpoint(path).state_dict.items()
    }
    lines = []
    for name, shape in expected.items():
        if name not in found:
            lines.append(f'{name} is missing')
        elif found[name] != shape:
            lines.append(f'{name} is {"x".join(map(str, found[name]))}, expected {"x".join(map(str, shape))}')
    return lines


def _megabytes(count: int) -> str:
    return f'{count / 1e6:,.1f} MB'
