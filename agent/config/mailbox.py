"""[[marketplaces]] of kind mailbox: offers that come by mail."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from agent.config.secrets import Secret, SecretEnv, SecretFile, one_source
from agent.config.values import FolderOption, Host, NameOption, Number, PathOption, Section, Whole, text_of

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _sender(value: str) -> str:
    local, at, domain = value.lower().partition("@")
    if not at or "." not in domain or "@" in domain or any(c.isspace() or c in "<>," for c in value):
        raise ValueError('an address such as "orders@shop.example", or a whole domain as "@shop.example"')
    return f"{local}@{domain}"


def _line(value: object) -> str:
    return text_of(value, "text of one line")


Sender = Annotated[str, AfterValidator(_sender)]
Line = Annotated[str, BeforeValidator(_line)]
LinkHost = Annotated[Host, AfterValidator(str.lower)]


class MailboxSettings(Section):
    """A mailbox that offers come into, by IMAP. It is only read. What cannot be read for certain is asked of you; you answer the
    marketplace yourself. Needs a template for your mails: docs/marketplaces.md."""

    kind: Literal["mailbox"] = Field(description="operator_api | hot_folder | mailbox")
    name: NameOption = Field(description="What this marketplace is called in orders and messages.", examples=["post"])
    host: Host = Field(description="The mail server.", examples=["imap.example.org"])
    port: Whole = Field(993, ge=1, le=65_535, description="Its port: 993 for tls, 143 for starttls.")
    security: Literal["tls", "starttls", "none"] = Field("tls", description="tls | starttls | none (only to this machine itself).")
    ca_file: PathOption | None = Field(
        None,
        description="The certificate of the server's own authority, as PEM. Not set: those the system trusts.",
        examples=["secrets/mail-ca.pem"],
    )
    username: Line = Field(description="The user name.", examples=["shop@example.org"])
    password_file: SecretFile | None = Field(
        None,
        description='The file with the password. Under systemd: "$CREDENTIALS_DIRECTORY/mail".',
        examples=["secrets/mail"],
        json_schema_extra={"shown": True},
    )
    password_env: SecretEnv | None = Field(
        None, description="Instead of password_file: the environment variable with the password.", examples=["MAIL_PASSWORD"]
    )
    login: Literal["password", "xoauth2"] = Field(
        "password",
        description="password | xoauth2: what password_file holds is an access token. It is read anew for each connection; something else "
        "of yours has to renew it.",
    )
    folder: Line = Field("INBOX", description="The folder that is read.")
    senders: list[Sender] = Field(
        min_length=1,
        description="Whose mails are offers: addresses, and whole domains as @shop.example. All others are left alone.",
        examples=[["orders@shop.example"]],
    )
    authserv_id: Line = Field(
        description="What your own mail server calls itself in the header Authentication-Results: only its word counts that a sender is "
        "who they say. Look into the source of a mail you got.",
        examples=["mx.example.org"],
    )
    link_hosts: list[LinkHost] = Field(
        [],
        description="Models behind links are fetched from these hosts only, by https. Not set: from none.",
        examples=[["files.shop.example"]],
    )
    templates_dir: FolderOption | None = Field(
        None,
        description="The folder with your templates, which say how such a mail is read. Not set: only the two examples, which are for "
        "nobody's mails.",
        examples=["mail_templates"],
    )
    answer_within_min: Number = Field(
        15.0, gt=0, le=20_160, description="How long after a mail came its offer can be answered, where the mail does not say."
    )
    poll_interval_s: Number = Field(
        30.0, ge=0.1, le=3600, description="Mails are asked for this often where the server does not tell of them itself (IDLE)."
    )
    look_back_days: Whole = Field(2, ge=1, le=365, description="Older mails are not looked at.")
    max_mail_mb: Whole = Field(50, ge=1, le=500, description="A bigger mail is not taken, nor more than this of models from one mail.")

    @field_validator("authserv_id")
    @classmethod
    def _small(cls, value: str) -> str:
        return value.lower()

    @field_validator("password_env")
    @classmethod
    def _one_password(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        return one_source("password", info, value, required=True)

    @field_validator("security")
    @classmethod
    def _not_in_the_clear(cls, value: str, info: ValidationInfo) -> str:
        if value == "none" and info.data.get("host", "127.0.0.1") not in _LOOPBACK:
            raise ValueError('"tls" or "starttls": without, only a server on this machine (127.0.0.1) is asked')
        return value

    @property
    def password(self) -> Secret:
        secret = self.password_file or self.password_env
        assert secret is not None, "validation lets none through without"
        return secret
