"""Users, organizations, roles, and the commands that make them."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from costadvisor.accounts.models import Membership, Organization, Role, User
from costadvisor.accounts.selectors import user_find
from costadvisor.accounts.services import membership_set, organization_create, user_create, user_password_set
from costadvisor.common.refusal import Refusal


def test_an_address_belongs_to_one_user_whatever_its_letter_case(alice: User) -> None:
    with pytest.raises(Refusal, match="exists already") as refused:
        user_create(email="ALICE@example.com", password="correct horse 7")
    assert refused.value.field == "email"


@pytest.mark.parametrize(
    ("email", "password", "field"), [("nobody", "correct horse 7", "email"), ("n@example.com", "12345", "password")]
)
def test_a_bad_address_or_password_is_refused(db: None, email: str, password: str, field: str) -> None:
    with pytest.raises(Refusal) as refused:
        user_create(email=email, password=password)
    assert refused.value.field == field
    assert not User.objects.exists()


def test_a_new_password_replaces_the_old_and_is_kept_as_its_hash_only(alice: User) -> None:
    user_password_set(user=alice, password="battery staple 8")
    found = user_find(email=" Alice@Example.com ")
    assert found is not None
    assert [found.check_password(word) for word in ("correct horse 7", "battery staple 8")] == [False, True]
    assert "battery staple 8" not in found.password
    with pytest.raises(Refusal) as refused:
        user_password_set(user=alice, password="12345")
    assert refused.value.field == "password"
    assert User.objects.get().check_password("battery staple 8")


def test_organizations_of_one_name_get_addresses_of_their_own(alice: User) -> None:
    slugs = [organization_create(name="Acme & Söhne", admin=alice).slug for _ in range(3)]
    assert slugs == ["acme-sohne", "acme-sohne-2", "acme-sohne-3"]


def test_setting_a_role_again_changes_it(acme: Organization, alice: User, bob: User) -> None:
    membership_set(organization=acme, user=bob, role=Role.EDITOR, actor=alice)
    assert Membership.objects.get(organization=acme, user=bob).role == "editor"


def test_each_role_may_do_what_those_before_it_may() -> None:
    allowed = [[role.allows(needed) for needed in Role] for role in Role]
    assert allowed == [[needed <= role for needed in range(4)] for role in range(4)]


def test_the_command_makes_an_organization_or_nothing(db: None, tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("12345\n")
    arguments = ("createorganization", "Acme", "--admin-email", "a@example.com", "--password-file", str(password_file))
    with pytest.raises(CommandError) as refused:
        call_command(*arguments)
    assert refused.value.returncode == 2
    assert not User.objects.exists()
    password_file.write_text("correct horse 7\n")
    call_command(*arguments)
    assert Membership.objects.get().role == Role.ADMIN


def test_the_command_adds_a_new_user_or_changes_a_role(
    acme: Organization, bob: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("addmember", "acme", "Eve@example.com", "--role", "editor")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "eve@example.com is now editor of Acme at /o/acme/."
    eve = Membership.objects.get(user__email="eve@example.com")
    assert (eve.role, eve.user.check_password(said[1].removeprefix("Password, shown only here: "))) == ("editor", True)
    call_command("addmember", "acme", bob.email, "--role", "approver")
    assert "assword" not in capsys.readouterr().out
    assert Membership.objects.get(user=bob).role == "approver"
    assert bob.check_password("correct horse 7")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nowhere", "eve@example.com", "--role", "editor"), "There is no organization nowhere; there is acme."),
        (
            ("acme", "eve@example.com", "--role", "boss"),
            "There is no role boss; the roles are viewer, editor, approver, admin.",
        ),
        (("acme", "eve", "--role", "editor"), "Enter a valid email address."),
    ],
)
def test_a_member_who_cannot_be_added_is_refused_in_one_line(
    acme: Organization, arguments: tuple[str, ...], line: str
) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("addmember", *arguments)
    assert (str(refused.value), refused.value.returncode) == (line, 2)
    assert not User.objects.filter(email__startswith="eve").exists()
