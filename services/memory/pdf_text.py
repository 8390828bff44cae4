"""`python -m services.memory.pdf_text`: a PDF on standard input, its text as JSON on standard output.

A process of its own, with limits of memory and time, because a PDF may be made to take all of both. And the call of it.
"""

import asyncio
import json
import sys

from kit.errors import Invalid, Unavailable

MAX_PAGES = 1_000
MAX_CHARACTERS = 2_000_000
MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 20
WALL_SECONDS = 30.0


class PdfUnreadable(Invalid):
    code = "pdf_unreadable"


class PdfNotSetUp(Unavailable):
    code = "pdf_not_set_up"


async def read_pdf(content: bytes) -> str:
    """The text of its pages. Raises PdfUnreadable with why, or PdfNotSetUp when the extra `pdf` is not installed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.memory.pdf_text",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WALL_SECONDS):
            written, _ = await process.communicate(content)
    except TimeoutError:
        raise PdfUnreadable(f"the PDF could not be read within {WALL_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer = json.loads(written)
    except ValueError:
        raise PdfUnreadable("the PDF needs more memory or time than one document may have") from None
    if answer.get("missing"):
        raise PdfNotSetUp("PDFs need the extra `pdf` (pypdf)")
    if "text" not in answer:
        raise PdfUnreadable(str(answer.get("problem")))
    return str(answer["text"])


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def _answer(content: bytes) -> dict[str, object]:
    try:
        import io

        from pypdf import PdfReader
    except ModuleNotFoundError:
        return {"missing": True}
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"problem": "the PDF is encrypted"}
        if len(reader.pages) > MAX_PAGES:
            return {"problem": f"the PDF has more than {MAX_PAGES} pages"}
        parts, size = list[str](), 0
        for page in reader.pages:
            text = page.extract_text().replace("\x00", "")
            size += len(text)
            if size > MAX_CHARACTERS:
                return {"problem": f"the PDF has more than {MAX_CHARACTERS} characters"}
            parts.append(text)
    except MemoryError:
        return {"problem": "the PDF needs more memory than one document may have"}
    except Exception as error:  # noqa: BLE001 - a hostile file makes a parser fail in any way; this process ends here
        return {"problem": f"the PDF could not be read ({type(error).__name__})"}
    return {"text": "\n\n".join(parts)}


if __name__ == "__main__":
    _limit()
    sys.stdout.write(json.dumps(_answer(sys.stdin.buffer.read())))
