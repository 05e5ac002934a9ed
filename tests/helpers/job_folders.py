"""Folders of jobs: the templates of `heddle job init`, with some lines of heddle.toml replaced."""

from pathlib import Path

from cli.job_template import template_of, write_template


def job_folder(folder: Path, runtime: str = "python", /, **changes: str) -> Path:
    """The simplest template of a runtime in `folder`. `slots="65"` replaces that line; `extra` is added at the end.

    A name with two underscores, as in resources__fuel, is a field of that table.
    """
    write_template(folder, template_of(None, runtime), {})
    file = folder / "heddle.toml"
    lines = file.read_text().splitlines()
    extra = changes.pop("extra", "")
    top = changes.pop("top", "")
    for name, value in changes.items():
        field = name.rpartition("__")[2]
        places = [number for number, line in enumerate(lines) if line.startswith(f"{field} = ")]
        assert len(places) == 1, f"{field} stands on {len(places)} lines of the template"
        lines[places[0]] = f"{field} = {value}"
    file.write_text("\n".join([top, *lines, extra, ""]))
    return folder


# What makes a job's folder unfit -> the field that the refusal must name. Each is one edit of the Python template.
BAD_FIELDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("runtime", {"runtime": '"cobol"'}),
    ("runtime", {"runtime": "3"}),
    ("script", {"script": '"absent.py"'}),
    ("script", {"script": '"../main.py"'}),
    ("script", {"script": '"ma\\u0000in.py"'}),
    ("input", {"input": '"in\\u0000put.txt"'}),
    ("inputs", {"input": '""', "top": 'inputs = ["a\\u0000b"]'}),
    ("environment.KEY.path", {"extra": '[environment]\nKEY = { from = "file", path = "a\\u0000b" }'}),
    ("verification.agreeing", {"extra": "[verification]\nagreeing = 2"}),
    ("verification.trust", {"extra": '[verification]\nmode = "quorum"\ntrust = 5'}),
    ("verification.window_ms", {"extra": '[verification]\nmode = "adaptive"\nwindow_ms = 5'}),
    ("entrypoint", {"entrypoint": f'"{"m" * 65}"'}),
    ("input", {"input": '"absent.txt"'}),
    ("input", {"input": '"pypi:no_such_package_here/file.csv"'}),
    ("slots", {"slots": "0"}),
    ("slots", {"slots": "65"}),
    ("slots", {"slots": "1.5"}),
    ("reward", {"reward": "1"}),
    ("reward", {"reward": '"-1"'}),
    ("reward", {"reward": '"0.0000000000001"'}),
    ("reward", {"reward": '"0"'}),
    ("reward", {"reward": '"1000000000001"'}),
    ("duration_ms", {"duration_ms": "0"}),
    ("duration_ms", {"duration_ms": "86_400_001"}),
    ("resources.fuel", {"resources__fuel": "281_474_976_710_657"}),
    ("fuel", {"resources__fuel": "0"}),
    ("resources.memory_bytes", {"resources__memory_bytes": "65_535"}),
    ("resources.memory_bytes", {"resources__memory_bytes": "1_073_741_825"}),
    ("resources.storage_bytes", {"resources__storage_bytes": "268_435_457"}),
    ("resources.network_requests", {"resources__network_requests": "1_001"}),
    ("resources.output_bytes", {"resources__output_bytes": "33_554_433"}),
    ("output_bytes", {"resources__output_bytes": "-1"}),
    ("resources.color", {"extra": "color = 1"}),
    ("color", {"top": "color = 1"}),
    ("capabilities.fetch", {"extra": '[capabilities]\nfetch = "a.example"'}),
    ("capabilities.fetch", {"extra": f"[capabilities]\nfetch = {[f'{n}.example' for n in range(17)]}"}),
    ("capabilities.fetch", {"extra": f'[capabilities]\nfetch = ["{"a" * 254}"]'}),
    ("capabilities.fetch", {"extra": '[capabilities]\nfetch = ["not a host"]'}),
    ("capabilities.fetch", {"extra": '[capabilities]\nfetch = ["a.example:0"]'}),
    ("capabilities.storage", {"extra": "[capabilities]\nstorage = 1"}),
    ("environment", {"extra": '[environment]\nKEY = "value"'}),
    ("environment.KEY", {"extra": "[environment]\nKEY = 1"}),
    ("environment.KEY.from", {"extra": '[environment]\nKEY = { from = "air" }'}),
    ("environment.KEY.path", {"extra": '[environment]\nKEY = { from = "file", path = "main.py" }'}),
    ("environment.KEY.hidden", {"extra": '[environment]\nKEY = { from = "env", hidden = 1 }'}),
    ("secrets.sealing", {"extra": '[secrets]\nsealing = "wax"'}),
    ("secrets.public", {"extra": "[secrets]\npublic = 1"}),
    ("secrets.color", {"extra": "[secrets]\ncolor = 1"}),
    ("destinations", {"top": 'destinations = ["ftp://a.example"]'}),
    ("destinations", {"top": f"destinations = {['https://a.example'] * 4}"}),
    ("destinations", {"top": f'destinations = ["https://{"a" * 250}"]'}),
    ("destinations", {"top": 'destinations = ["https://user:word@a.example/"]'}),
    ("schedule.executions", {"extra": "[schedule]\nexecutions = 0"}),
    ("schedule.executions", {"extra": "[schedule]\nexecutions = 100_001"}),
    ("schedule.executions", {"extra": "[schedule]\nexecutions = 1_000\ninterval_ms = 86_400_000"}),
    ("schedule.interval_ms", {"extra": "[schedule]\ninterval_ms = 60_000"}),
    ("schedule.interval_ms", {"extra": "[schedule]\ninterval_ms = 9_000_000_000"}),
    ("schedule.start_ms", {"extra": "[schedule]\nstart_ms = 1_000"}),
    ("schedule.start_delay_max_ms", {"extra": "[schedule]\nstart_delay_max_ms = 86_400_001"}),
    ("processors.choice", {"extra": '[processors]\nchoice = "anyone"'}),
    ("processors.accounts", {"extra": '[processors]\nchoice = "known"'}),
    ("processors.accounts", {"extra": '[processors]\nchoice = "known"\naccounts = ["nobody-i-know"]'}),
    ("processors.accounts", {"extra": f'[processors]\nchoice = "known"\naccounts = {["//Bob"] * 2}'}),
    ("processors.accounts", {"extra": f'[processors]\nchoice = "known"\naccounts = {["//Bob"] * 65}'}),
    ("processors.accounts", {"extra": '[processors]\naccounts = ["//Bob"]'}),
    ("reward", {"extra": '[processors]\nchoice = "personal"\naccounts = ["//Bob"]'}),
    ("processors.reputation_min_ppm", {"extra": "[processors]\nreputation_min_ppm = 1_000_001"}),
    ("requirements.labels", {"extra": f"[requirements]\nlabels = {[str(n) for n in range(9)]}"}),
    ("requirements.labels", {"extra": f'[requirements]\nlabels = ["{"a" * 33}"]'}),
    ("requirements.modules", {"extra": f"[requirements]\nmodules = {[str(n) for n in range(9)]}"}),
    ("requirements.version_min", {"extra": "[requirements]\nversion_min = 4_294_967_296"}),
    ("retry.attempts_max", {"extra": "[retry]\nattempts_max = 0"}),
    ("retry.attempts_max", {"extra": "[retry]\nattempts_max = 11"}),
    ("retry.lost_max", {"extra": "[retry]\nlost_max = 11"}),
    ("verification.mode", {"extra": '[verification]\nmode = "oath"'}),
    ("verification.agreeing", {"extra": '[verification]\nmode = "quorum"\nagreeing = 300'}),
    ("verification.stake_multiple", {"extra": "[verification]\nstake_multiple = 256"}),
    ("verification.stake_multiple", {"extra": "[verification]\nstake_multiple = 1"}),
    ("verification.votes", {"extra": "[verification]\nvotes = 1"}),
    ("verification", {"extra": '[verification]\nmode = "quorum"\nagreeing = 2'}),
    ("verification", {"extra": '[verification]\nmode = "credibility"\ntrust = 1'}),
    ("verification", {"extra": '[verification]\nmode = "reexecution"\nwindow_ms = 1'}),
    ("heddle.toml", {"extra": "this is no TOML"}),
)
