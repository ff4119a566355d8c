"""The command line, killed at one exact place: `python kill_points.py SPEC run recipe.yaml ...`.

SPEC is JSON: `point` names the place, `instance` the stage instance, `who` dies there (`child`
the stage, `parent` the command, `group` all at once), `count` the visit at which it happens.
Places in the stage's own process are reached by starting this file in the server's stead.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SPEC = json.loads(sys.argv[1])
IN_PARENT = (
    "before manifest",
    "half a manifest",
    "before rename",
    "after rename",
    "before cleaning",
    "before measured",
)


def die(command_pid=None):
    """End who should end; a stage whose command was killed goes on until it notices."""
    match SPEC["who"]:
        case "group":
            os.killpg(0, signal.SIGKILL)
        case "parent":
            os.kill(command_pid or os.getpid(), signal.SIGKILL)
        case "child":
            os.kill(os.getpid(), signal.SIGKILL)


def half_of(path, data):
    with path.open("wb") as stream:
        stream.write(data[: len(data) // 2])
        stream.flush()


def patch_parent():
    from stillhouse.store import artifacts

    store = artifacts.ArtifactStore
    seal, real_sync = store.seal, artifacts.sync_folder

    def sealed(self, manifest):
        if manifest.instance == SPEC["instance"]:
            arm(self.root)
        return seal(self, manifest)

    def arm(root):
        match SPEC["point"]:
            case "before manifest":
                artifacts.write_json = lambda *_: die()
            case "half a manifest":
                artifacts.write_json = half_manifest
            case "before rename":
                store._publish = lambda *_: die()
            case "after rename":
                artifacts.sync_folder = lambda path: die() if path == root else real_sync(path)
            case "before cleaning":
                shutil.rmtree = lambda *_, **__: die()
            case "before measured":
                store.write_measured = lambda *_: die()

    def half_manifest(path, value):
        half_of(path.with_name(f".{path.name}.{os.getpid()}.tmp"), json.dumps(value).encode())
        die()

    store.seal = sealed


def start_servers_here():
    """Let the command start this file where it would start the stage server."""
    from stillhouse.runner import worker

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            if command[1:3] == ["-m", "stillhouse.runner.server"]:
                rest = command[3:]
                command = [
                    sys.executable,
                    __file__,
                    json.dumps(SPEC),
                    "serve",
                    str(os.getpid()),
                    *rest,
                ]
            super().__init__(command, **options)

    worker.subprocess.Popen = Popen


def serve(command_pid, preload):
    from stillhouse.runner import server

    real = server.stage_function

    def stage_function(stage, config):
        return lambda request, progress: run(real(stage, config), request, progress)

    def run(stage, request, progress):
        key = f"{request.stage}@{request.variant}" if request.variant else request.stage
        if key != SPEC["instance"]:
            return stage(request, progress)
        countdown = [SPEC.get("count", 1)]

        def visit():
            countdown[0] -= 1
            if countdown[0] == 0:
                die(command_pid)

        def told(*given, **values):
            progress(*given, **values)
            if SPEC["point"] == "progress":
                visit()

        if SPEC["point"] == "begin":
            visit()
        patch_child(visit)
        result = stage(request, told)
        if SPEC["point"] == "end":
            visit()
        return result

    server.stage_function = stage_function
    with contextlib.suppress(BrokenPipeError):
        server.serve(preload)
    os._exit(0)


def patch_child(visit):
    point = SPEC["point"]
    if point.startswith("checkpoint"):
        patch_checkpoints(point, visit)
    elif point.startswith("registry"):
        patch_registry(point, visit)


def patch_checkpoints(point, visit):
    from stillhouse.students import checkpoints, trainer

    save, seal, drop = trainer.save_trainable, trainer.seal, trainer.drop_old
    write_json = checkpoints.write_json

    def half_weights(model, folder):
        save(model, folder)
        file = folder / checkpoints.WEIGHTS
        whole = file.read_bytes()
        half_of(file, whole)
        visit()
        file.write_bytes(whole)

    def unsealed(folder, digest):
        visit()
        seal(folder, digest)

    def half_seal(path, value):
        half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        half_of(half, json.dumps(value).encode())
        visit()
        half.unlink()
        write_json(path, value)

    def sealed(folder, digest):
        seal(folder, digest)
        visit()

    def dropping(workdir, best_step):
        for folder in sorted((workdir / checkpoints.FOLDER).iterdir())[:-2]:
            for file in sorted(folder.iterdir()):
                if file.name != checkpoints.SEAL:
                    file.unlink()
            visit()
        drop(workdir, best_step)

    match point:
        case "checkpoint half its weights":
            trainer.save_trainable = half_weights
        case "checkpoint whole, not sealed":
            trainer.seal = unsealed
        case "checkpoint half its seal":
            checkpoints.write_json = half_seal
        case "checkpoint sealed":
            trainer.seal = sealed
        case "checkpoint half dropped":
            trainer.drop_old = dropping


def patch_registry(point, visit):
    from stillhouse.registry import versions

    copy, write_json = shutil.copyfile, versions.write_json

    def half_blob(source, target):
        half_of(Path(target), Path(source).read_bytes())
        visit()
        copy(source, target)

    def half_record(path, value):
        half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        half_of(half, json.dumps(value).encode())
        visit()
        write_json(path, value)

    match point:
        case "registry half a blob":
            versions.shutil.copyfile = half_blob
        case "registry half a record":
            versions.write_json = half_record


if __name__ == "__main__":
    if sys.argv[2] == "serve":
        serve(int(sys.argv[3]), "--preload" in sys.argv)
    else:
        from stillhouse.cli.main import main

        if SPEC["point"] in IN_PARENT:
            patch_parent()
        start_servers_here()
        sys.argv = ["stillhouse", *sys.argv[2:]]
        main()
