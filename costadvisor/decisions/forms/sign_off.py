"""Forms of a version's signatures."""

from typing import Any

from django import forms

from costadvisor.accounts.models import User


class SignForm(forms.Form):
    """A signature is given with the password, so that nobody signs at a screen that somebody left."""

    password = forms.CharField(
        label="Your password", widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError("This is not your password.")
        return password


class WithdrawForm(forms.Form):
    because = forms.CharField(label="Why it is withdrawn", max_length=500)
