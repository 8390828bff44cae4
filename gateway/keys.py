"""`python -m gateway.keys`: creates, lists and disables API keys in the gateway's file. A key is printed once."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from kit.api_keys import ApiKeyFile
from kit.identity import PrincipalKind


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="print a new key")
    create.add_argument("--tenant", required=True)
    create.add_argument("--user", required=True, help="whose key: a user's, or a service's name with --service")
    create.add_argument("--scope", action="append", default=[], help="e.g. registry:write, tenant, admin; repeatable")
    create.add_argument("--service", action="store_true", help="a service's key, also accepted on services' own ports")
    create.add_argument("--days", type=float, help="how long it is valid; without it, until it is disabled")
    shown = commands.add_parser("list", help="every key's id, owner and scopes")
    disable = commands.add_parser("disable", help="let a key in no longer")
    disable.add_argument("key_id")
    for command in (create, shown, disable):
        command.add_argument("--file", type=Path, required=True, help="the file of hashed keys")
    arguments = parser.parse_args()
    file = ApiKeyFile(arguments.file)
    if arguments.command == "create":
        _create(file, arguments)
    elif arguments.command == "list":
        for key_id, key in file.list().items():
            state = "disabled" if key.disabled else f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "valid"
            sys.stdout.write(f"{key_id}  {key.tenant}/{key.user}  {key.kind}  {','.join(key.scopes) or '-'}  {state}\n")
    elif not file.disable(arguments.key_id):
        sys.exit(f"there is no key {arguments.key_id}")


def _create(file: ApiKeyFile, arguments: argparse.Namespace) -> None:
    kind = PrincipalKind.SERVICE if arguments.service else PrincipalKind.USER
    expires = datetime.now(UTC) + timedelta(days=arguments.days) if arguments.days else None
    try:
        key = file.create(
            tenant=arguments.tenant, user=arguments.user, scopes=arguments.scope, kind=kind, expires_at=expires
        )
    except ValidationError as error:
        sys.exit("; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors()))
    sys.stdout.write(f"{key.secret}\n")


if __name__ == "__main__":
    main()
