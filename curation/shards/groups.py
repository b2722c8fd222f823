"""What splits keep together: files of one sidecar group, of the same content, or alike takes.

A group keeps its name permanently, and its name determines its split: later files join it and move
nothing. Two old groups that turn out to belong together stay where they are (of copies, one clip is
kept); files that connect them join the one that is held out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

HELD_OUT_FIRST = {"bench": 0, "val": 1, "train": 2}


def name_groups(
    own_groups: Iterable[str],
    clusters: Sequence[Sequence[str]],
    known: Mapping[str, str],
    split_of_group: Callable[[str], str],
) -> dict[str, str]:
    """A group's name for each file's own group (its sidecar's, or the file alone).

    ``clusters``: own groups that belong together; ``known``: names from earlier runs.
    """
    parents = {own: own for own in own_groups}

    def root(own: str) -> str:
        while parents[own] != own:
            parents[own] = parents[parents[own]]
            own = parents[own]
        return own

    for cluster in clusters:
        for own in cluster[1:]:
            parents[root(own)] = root(cluster[0])
    members: dict[str, list[str]] = {}
    for own in sorted(parents):
        members.setdefault(root(own), []).append(own)
    names: dict[str, str] = {}
    for joined in members.values():
        old = {known[own] for own in joined if own in known}
        name = min(joined)
        if old:
            name = min(
                old, key=lambda old_name: (HELD_OUT_FIRST[split_of_group(old_name)], old_name)
            )
        names |= {own: known.get(own, name) for own in joined}
    return names
