"""What the demo says: headings, what happened, and a list of checks that decides its exit code."""

from collections.abc import Sequence

from rich.console import Console

from bureau_contracts.runtime import ChatAnswer

console = Console(highlight=False, soft_wrap=True)


class Account:
    """Tells the story and keeps the checks."""

    def __init__(self) -> None:
        self._checks: list[tuple[str, bool]] = []

    def chapter(self, title: str) -> None:
        console.print(f"\n[bold]{title}[/bold]")

    def say(self, line: str) -> None:
        console.print(f"  {line}", markup=False)

    def turn(self, question: str, answer: ChatAnswer) -> None:
        """One turn: what was asked, who answered, why, and with which trace."""
        console.print(f"  [dim]you[/dim]   {question}")
        name = ", ".join(answer.agents) or "bureau"
        for line in answer.reply.splitlines()[:8]:
            console.print(f"  [cyan]{name}[/cyan]  ", end="")
            console.print(line, markup=False)
        why = answer.routing.explanation if answer.routing else ""
        console.print(f"  [dim]       {why} · trace {answer.trace_id}[/dim]")

    def check(self, what: str, holds: bool) -> None:
        self._checks.append((what, holds))
        if not holds:
            console.print(f"  [red]does not hold:[/red] {what}")

    def close(self) -> int:
        """Prints every check; the exit code."""
        self.chapter("What was checked")
        for what, holds in self._checks:
            console.print(f"  {'[green]✓[/green]' if holds else '[red]✗[/red]'} {what}")
        failed = self._failed
        console.print(f"\n{len(self._checks) - len(failed)} of {len(self._checks)} checks hold")
        return 1 if failed or not self._checks else 0

    @property
    def _failed(self) -> Sequence[str]:
        return [what for what, holds in self._checks if not holds]
