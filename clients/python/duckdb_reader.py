"""DuckDB: what the gateway exports is a table with types for other programs."""

import json
import os
import pathlib
import subprocess
import tempfile
import urllib.request

import duckdb
from harness import CONFIG, KEY, case, equal, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("MYELIN_SERVER") or str(ROOT / "target" / "debug" / "myelin")
PLACE = ROOT / "target" / "clients"


def ask(target, count):
    for number in range(count):
        body = {"model": target.model, "messages": [{"role": "user", "content": f"say number {number}"}]}
        request = urllib.request.Request(
            CONFIG["openai"] + "/chat/completions",
            data=json.dumps(body).encode(),
            headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
        )
        urllib.request.urlopen(request).read()


def export(folder, name):
    file = pathlib.Path(folder) / name
    words = ["export", str(file), "--config", str(PLACE / "myelin.toml"), "--data-dir", str(PLACE / "data")]
    subprocess.run([PROGRAM, *words], check=True, stdout=subprocess.DEVNULL)
    return file


@case(once=True, gateway_only=True)
def parquet_csv_and_json_lines_hold_the_same_rows(target):
    ask(target, 5)
    with tempfile.TemporaryDirectory() as folder:
        parquet, csv, lines = (export(folder, name) for name in ("a.parquet", "a.csv", "a.jsonl"))
        types = dict(row[:2] for row in duckdb.sql(f"describe select * from '{parquet}'").fetchall())
        equal(types["id"], "VARCHAR")
        equal(types["started"].startswith("TIMESTAMP"), True, types["started"])
        equal(types["cost_usd"], "DECIMAL(18,9)")
        equal((types["input"], types["stream"]), ("BIGINT", "BOOLEAN"))
        columns = "id, status, model, channel, input, output, duration_us, epoch_ms(started)"
        wanted = duckdb.sql(f"select {columns} from '{parquet}' order by id").fetchall()
        equal(len(wanted) >= 5, True, "rows")
        # Other clients are at work: what has come since is in the later files only.
        then = {row[0] for row in wanted}
        rows = duckdb.sql(f"select {columns} from read_csv('{csv}', header=true) order by id").fetchall()
        equal([row for row in rows if row[0] in then], wanted, "csv")
        with open(lines, encoding="utf-8") as text:
            records = sorted((json.loads(line) for line in text), key=lambda record: record["id"])
        told = [record for record in records if record["id"] in then]
        found = [(record["id"], record["status"], record["model"] or None, record["started"]) for record in told]
        equal(found, [(row[0], row[1], row[2], row[7]) for row in wanted], "json lines")
        newest = duckdb.sql(f"select max(started) > now() - interval 1 hour from '{parquet}'").fetchall()
        equal(newest, [(True,)], "times")


run("duckdb", wanted="openai")
