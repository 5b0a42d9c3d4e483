"""Images of a COCO file that show nobody."""

from sapiens.utils.paths import require_file

from .columns import read_image, whole
from .json_stream import BrokenJson, NotAnObject, stream_items

__all__ = ['images_without_people']

# COCO's id of the category "person", for files that name no category so.
_PERSON = 1


def images_without_people(path: str) -> list[str]:
    """File names of the images without an annotation of a person, crowds included, in the order of the file.

    People have the categories called person; without one, category 1, as in COCO.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not COCO's format, or an entry without the ids or the name that this needs.
    """
    path = require_file(path, 'annotation file of backgrounds')
    names, shown, persons, count = {}, set(), set(), dict.fromkeys(('images', 'annotations', 'categories'), 0)
    try:
        for kind, item in stream_items(path, ('images', 'annotations'), optional=('categories',)):
            where = f'entry {count[kind]} of {kind}'
            count[kind] += 1
            if kind == 'images':
                number, name, *_ = read_image(item, count[kind] - 1)
                if name is None:
                    raise ValueError(f'image {number} has no file_name')
                names[number] = name
            elif not isinstance(item, dict):
                raise ValueError(f'{where} is not an object')
            elif kind == 'annotations':
                shown.add(tuple(_id_of(item, key, where) for key in ('image_id', 'category_id')))
            elif str(item.get('name')).lower() == 'person':
                persons.add(_id_of(item, 'id', where))
    except (NotAnObject, BrokenJson) as error:
        raise ValueError(f"{path!r} is not an annotation file of COCO's format: {error}") from None
    except ValueError as error:
        raise ValueError(f'{path!r}: {error}') from error
    people = {image for image, category in shown if category in (persons or {_PERSON})}
    return [name for number, name in names.items() if number not in people]


def _id_of(item: dict, key: str, where: str) -> int:
    try:
        return whole(item.get(key))
    except TypeError as error:
        raise ValueError(f'{where}: {key} {error}') from None
