"""Users as a configuration describes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.auth.principals import OWNER
from bacalhau_jupyter.auth.users.records import principals_of, read_users
from bacalhau_jupyter.models.errors import ConfigurationError

CAPTURES = Path(__file__).parents[1] / "data" / "trust-captures"
OFFICIAL = {
    case["case"]: case["result"].partition("initializing users: ")[2]
    for case in json.loads((CAPTURES / "config_validation.json").read_bytes())
}
PASSWORD, KEY = "0123456789", "k" * 20
READ = [{"Actions": ["read:job"]}]


def named(**members: Any) -> dict[str, Any]:
    return {"Username": "u", "Password": PASSWORD, "Capabilities": READ} | members


def keyed(**members: Any) -> dict[str, Any]:
    return {"Alias": "a", "APIKey": KEY, "Capabilities": READ} | members


@pytest.mark.parametrize(
    ("case", "users"),
    [
        ("user without credential", [{"Alias": "a", "Capabilities": READ}]),
        ("user with both", [named(Alias="a", APIKey=KEY)]),
        ("username without password", [named(Password="")]),
        ("username bad chars", [named(Username="u-x")]),
        ("username spaces", [named(Username="  ")]),
        ("username too long", [named(Username="u" * 101)]),
        ("password short", [named(Password="short")]),
        ("password long", [named(Password="p" * 256)]),
        ("key short", [keyed(APIKey="k" * 19)]),
        ("key long", [keyed(APIKey="k" * 256)]),
        ("no capabilities", [keyed(Capabilities=[])]),
        ("no capabilities", [{"Alias": "a", "APIKey": KEY}]),
        ("dup alias", [keyed(), keyed(Alias="A", APIKey="l" * 20)]),
        ("dup username", [named(), named(Username="U")]),
        ("dup key", [keyed(), keyed(Alias="b")]),
    ],
)
def test_what_is_officially_refused_is_refused_in_the_same_words(
    case: str, users: list[dict[str, Any]]
) -> None:
    expected = re.sub("u{50,}", lambda name: users[0]["Username"], OFFICIAL[case])
    with pytest.raises(ConfigurationError) as caught:
        read_users(users)
    assert expected
    assert caught.value.message == f"error initializing users: {expected}"


@pytest.mark.parametrize(
    ("users", "sentence"),
    [
        ([keyed(Username="u")], "has an API key and half of a username/password"),
        ([keyed(Password=PASSWORD)], "has an API key and half of a username/password"),
        ([keyed(Capabilities=[{"Actions": []}])], "user 'a' has a capability without Actions"),
        ([keyed(Capabilities=[*READ, {}])], "user 'a' has a capability without Actions"),
        ([keyed(Capabilities=[{"Actions": ["fly"]}])], "user 'a' has the unknown action 'fly'"),
        ([keyed(Capabilities=[{"Actions": ["Read:Job"]}])], "the unknown action 'Read:Job'"),
        ([named(Password="$2a$10$short")], "begins like a bcrypt hash, but is not one"),
        ([named(Password="$2x$10$" + "a" * 53)], "begins like a bcrypt hash, but is not one"),
        ([named(Password="$2a$99$" + "a" * 53)], "begins like a bcrypt hash, but is not one"),
        ([named(Password="$2a$20$" + "a" * 53)], "has a bcrypt hash of cost 20"),
        ([keyed(Alias="U"), named()], "the alias 'U' of a user is the username of another user"),
        ([named(), keyed(Alias="u")], "the alias 'u' of a user is the username of another user"),
        ([keyed(Capabilities=["read:job"])], 'Capabilities[0]\' expected a map or struct, got "string"'),
        ([keyed(Capabilities="read:job")], "must be a list of mappings"),
        ([keyed(Capabilities=[{"Actions": "read:job"}])], "must have Actions, a list of texts"),
        ([keyed(Capabilities=[{"Actions": ["read:job"], "Scope": 1}])], "and nothing else"),
        ([named(Password=1234567890)], "API.Auth.Users[0].Password is not text"),
        ([named(Username=7)], "API.Auth.Users[0].Username is not text"),
        ([keyed(Passwort=PASSWORD)], "has unknown members: passwort"),
        ([keyed(Alias="a\nb")], "has characters that can't be shown"),
        ([{}], "user 'unknown user' has neither username/password nor API key"),
    ],
)
def test_what_officially_starts_and_means_something_else_is_refused(
    users: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_users(users)
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message
    assert all(secret not in str(caught.value) for secret in (PASSWORD, KEY))


def test_members_are_known_in_any_case_and_every_official_shape_is_read() -> None:
    users = read_users(
        [
            {
                "alias": "Root Admin",
                "username": "admin",
                "PASSWORD": PASSWORD,
                "capabilities": [{"actions": ["*"]}],
            },
            keyed(Capabilities=[{"Actions": ["read:job"]}, {"Actions": ["write:job", "read:node"]}]),
            named(Alias=None, Password="$2a$10$" + "a" * 53),
            # An alias may be the same user's own name.
            named(Username="bea", Alias="Bea"),
        ]
    )
    assert users[0].title == "Root Admin"
    assert users[1].actions == {"read:job", "write:job", "read:node"}
    assert PASSWORD not in repr(users)
    assert KEY not in repr(users)


def test_nobody_can_be_called_like_the_owner_or_like_another_user() -> None:
    users = read_users(
        [
            named(Username="owner"),
            keyed(Alias="owner2"),
            keyed(Alias="owner", APIKey="o" * 20)
            | {"Capabilities": [{"Actions": ["*"]}], "Alias": "Owner of keys"},
            keyed(Alias="", APIKey="x" * 20 + "bcdef"),
            keyed(Alias="", APIKey="y" * 20 + "bcdef"),
        ]
    )
    principals = principals_of(users)
    names = [principal.name for principal in principals]
    assert names[0] == "user:owner"
    assert len({*names, OWNER.name}) == len(names) + 1
    assert principals[3].title == principals[4].title == "API key ending in ...bcdef"
    assert OWNER not in principals
