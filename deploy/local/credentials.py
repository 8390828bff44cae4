"""The secrets of an installation, made on the first start: the signing keys and the first administrator's API key.

`python -m deploy.local.credentials FOLDER URL` makes them for an installation in containers.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.files import private_folder, read_variables, write_variables, write_whole

TENANT, USER, SCOPES = "default", "admin", ["admin"]


@dataclass(frozen=True)
class Credentials:
    private_key: Path
    public_key: Path
    keys_file: Path
    client_file: Path
    """BUREAU_URL and BUREAU_API_KEY, where the command line finds them by itself."""
    new_key: str | None
    """The administrator's key, when this start made it."""


def prepare(data: Path, url: str) -> Credentials:
    """Makes what is missing, keeps what is there. The client file always names the present `url`."""
    secrets = private_folder(data / "secrets")
    private_key, public_key = secrets / "identity.key", secrets / "identity.pub"
    if not (private_key.exists() and public_key.exists()):
        private_text, public_text = _new_key_pair()
        write_whole(private_key, private_text)
        write_whole(public_key, public_text)

    keys_file, client_file = data / "keys.json", data / "client.env"
    known = read_variables(client_file)
    new_key = None
    if "BUREAU_API_KEY" not in known or not keys_file.exists():
        new_key = _new_api_key(keys_file)
        known["BUREAU_API_KEY"] = new_key
    if new_key or known.get("BUREAU_URL") != url:
        write_variables(
            client_file,
            {"BUREAU_URL": url, "BUREAU_API_KEY": known["BUREAU_API_KEY"]},
            "Private: this key may do everything.",
        )
    return Credentials(private_key, public_key, keys_file, client_file, new_key)


# Imported where they are used: they cost a third of a second and 20 MB, and only the first start needs them.
def _new_key_pair() -> tuple[str, str]:
    from kit.identity import generate_keypair

    return generate_keypair()


def _new_api_key(keys_file: Path) -> str:
    from kit.api_keys import ApiKeyFile

    return ApiKeyFile(keys_file).create(tenant=TENANT, user=USER, scopes=SCOPES, kind="user").secret


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m deploy.local.credentials FOLDER URL")
    prepare(Path(sys.argv[1]), sys.argv[2])
