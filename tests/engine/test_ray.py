"""Test the Ray runner on clusters whose nodes are processes of this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from attn_tutorial.engine import run_study
from attn_tutorial.engine.study_progress import StudyProgress
from attn_tutorial.errors import InputError
from attn_tutorial.ledger import Ledger
from attn_tutorial.spec import SpecError

pytest.importorskip("ray", reason="Ray, the extra [cluster], is not installed")
RAY_PROCESSES = (b"raylet", b"gcs_server")


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes with one core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args=node)
    made.add_node(**node)
    yield made
    made.shutdown()


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.05)


def command_lines():
    """Return, for every process, its parent's id and its command line, by its own id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_bytes()
    return found


def busy_workers(node):
    """Return the process ids of a node's workers that train a run."""
    (raylet,) = node.all_processes["raylet"]
    return [
        process
        for process, (parent, words) in command_lines().items()
        if parent == raylet.process.pid and b"ray::_train" in words
    ]


def alone(run, record, setting, monkeypatch):
    """Return the record of an undisturbed run, on one thread like a task of Ray's, and in the same memory format."""
    from attn_tutorial.training import machine, thread_count

    # It is chosen by timing, which on a busy machine may end either way.
    monkeypatch.setattr(machine, "_faster_memory_format", lambda *how: record.memory_format)
    undisturbed = replace(setting, results=setting.results.with_name("alone"))
    with thread_count(1):
        assert run_study([run], undisturbed.with_options(runner="serial")) == {"done": 1}
    return Ledger(undisturbed.results).get(run.run_id)


def test_runs_end_up_done_once_though_a_worker_and_a_node_are_killed(cluster, setting, plan, monkeypatch, capsys):
    setting = setting.with_options(checkpoint_every=0.0)
    variants = {f"seed {seed}": {"seed": seed, "training": {"samples": 640}} for seed in range(6)}
    runs = plan(setting, **variants, broken={"block": "se", "block_options": {"reduction": 999}})
    last_steps, ended = [], []
    progress, end = StudyProgress.progress, StudyProgress.ended

    def note(report, run_id, where):
        if where.step == where.steps:
            last_steps.append(run_id)
        progress(report, run_id, where)

    monkeypatch.setattr(StudyProgress, "progress", note)
    monkeypatch.setattr(StudyProgress, "ended", lambda report, *how: (ended.append(how[:2]), end(report, *how)))
    head, other = [*cluster.worker_nodes, cluster.head_node][::-1]
    failures = []

    def kill():
        try:
            work = setting.results / "work"
            wait_until(lambda: list(work.glob("*/step-*.pt")) and busy_workers(head))
            os.kill(busy_workers(head)[0], signal.SIGKILL)
            wait_until(lambda: busy_workers(other) and len(ended) >= 1)
            cluster.remove_node(other, allow_graceful=False)
        except BaseException as error:
            failures.append(error)

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_study(runs, setting.with_options(runner="ray", address=cluster.address)) == {"done": 6, "failed": 1}
    killer.join()
    assert not failures
    outcomes = [outcome for _, outcome in ended]
    assert outcomes.count("lost") >= 2
    assert sorted(run for run, outcome in ended if outcome == "done") == sorted(run.run_id for run in runs[:6])
    assert len(last_steps) == len(set(last_steps))  # no training was completed twice
    records = {record.run_id: record for record in Ledger(setting.results)}
    assert any(record.resumed_at for record in records.values())
    assert "reduction 999" in records[runs[6].run_id].error
    for run in runs[:6]:
        record = records[run.run_id]
        undisturbed = alone(run, record, setting, monkeypatch)
        assert record.weights_sha256 == undisturbed.weights_sha256
        assert record.accuracy == undisturbed.accuracy
    assert "lost with its worker" in capsys.readouterr().out


def processes_of(session):
    """Return the ids of Ray's own processes in a session."""
    found = []
    for process, (_, words) in command_lines().items():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process) == session and any(name in words for name in RAY_PROCESSES):
                found.append(process)
    return found


COMMAND = "from attn_tutorial.cli import main; main()"


def start(folder, results, images, *words):
    call = [
        sys.executable, "-c", COMMAND, "study", "run", "headline", "--preset", "smoke", "--data", str(images),
        "--results", str(results), *words,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        call, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.soak)])
def test_a_ray_of_its_own_leaves_nothing_behind_and_goes_on_later(tmp_path, tiny_cifar, how):
    results = tmp_path / "runs"
    process = start(tmp_path, results, tiny_cifar, "--runner", "ray", "--workers", "1", "--checkpoint-every", "0")
    wait_until(lambda: list(results.glob("work/*/step-*.pt")))
    assert processes_of(process.pid)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "stopped: 0 of 4 runs" in err
        assert "Traceback" not in out + err
    else:
        process.kill()
        process.communicate()
    wait_until(lambda: not processes_of(process.pid), 30)
    kept = list(results.glob("work/*/step-*.pt"))
    assert kept
    if how == signal.SIGKILL:
        again = start(tmp_path, results, tiny_cifar, "--runner", "serial")
        wait_until(lambda: list(results.glob("*.json")))
        os.killpg(again.pid, signal.SIGKILL)
        again.communicate()
        (record,) = Ledger(results)
        assert record.resumed_at
        assert record.run_id == kept[0].parent.name


def test_a_node_with_a_folder_of_its_own_hands_its_record_over(setting, plan, tmp_path, monkeypatch):
    from attn_tutorial.engine import ray_runner

    elsewhere = replace(setting, results=tmp_path / "node")
    (run,) = plan(setting, baseline={})
    assert run_study([run], elsewhere.with_options(runner="serial")) == {"done": 1}
    there = Ledger(elsewhere.results)
    record = there.get(run.run_id)
    task = ("done", record.model_dump_json(), there.answers_path(run.run_id).read_bytes())

    class Ray:
        def get(self, given):
            return given

    cluster = ray_runner.RayCluster(setting, 1)
    cluster._ray = Ray()
    assert cluster._outcome(run, task) == "done"
    here = Ledger(setting.results)
    assert here.get(run.run_id) == record
    assert here.answers(record).images(record.accuracy[0].condition) == record.accuracy[0].images


def test_a_run_that_is_lost_again_and_again_without_progress_is_given_up(setting, plan):
    from ray.exceptions import WorkerCrashedError

    from attn_tutorial.engine import ray_runner

    (run,) = plan(setting, baseline={})
    said = []

    class Ray:
        def get(self, given):
            if given == "messages":
                return said
            raise WorkerCrashedError

    class Desk:
        take = Ray()
        take.remote = lambda: "messages"

    cluster = ray_runner.RayCluster(setting, 1)
    cluster._ray, cluster._desk = Ray(), Desk
    assert [cluster._outcome(run, "task") for _ in range(4)] == ["lost"] * 4
    said.append((run.run_id, None))
    list(cluster.messages())
    assert [cluster._outcome(run, "task") for _ in range(5)] == ["lost"] * 4 + ["given up"]


def test_a_node_with_other_images_is_refused(setting):
    from attn_tutorial.engine import ray_runner

    ray_runner._check_images(setting)
    other = replace(setting, images=replace(setting.images, fingerprint="0" * 64, source="another folder"))
    with pytest.raises(InputError, match="contains other images than another folder"):
        ray_runner._check_images(other)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.0.0.1", "must be the address of the cluster's head"),
        ("ray://10.0.0.1:10001", "must be the address of the cluster's head"),
        ("127.0.0.1:1", "nothing answers at"),
        ("127.0.0.1:99999", "nothing answers at"),
    ],
)
def test_addresses_that_do_not_answer_are_refused_at_once(setting, plan, address, message):
    began = time.monotonic()
    with pytest.raises(InputError, match=message):
        run_study(plan(setting, baseline={}), setting.with_options(runner="ray", address=address))
    assert time.monotonic() - began < 30


def test_shares_of_a_gpu_need_a_gpu(setting, plan):
    with pytest.raises(SpecError, match="must be left out if the runs train on cpu"):
        run_study(plan(setting, baseline={}), setting.with_options(runner="ray", gpus_per_run=0.5))
