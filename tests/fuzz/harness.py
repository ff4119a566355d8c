"""One parser under atheris: `python -m tests.fuzz.harness NAME [libFuzzer options]`.

Half of the inputs are taken as they are; the others steer damage to a sound reply, so that what
lies behind the first check of a shape is reached as well.
"""

import sys

import atheris

with atheris.instrument_imports(include=["stillhouse.data.collect", "stillhouse.engines"]):
    from tests.fuzz.mutations import damaged
    from tests.fuzz.parsers import PARSERS


def main():
    parser = PARSERS[sys.argv[1]]

    def one(data):
        steer = atheris.FuzzedDataProvider(data)
        if steer.ConsumeBool():
            parser.run(steer.ConsumeBytes(len(data)))
            return
        start = parser.starts[steer.ConsumeIntInRange(0, len(parser.starts) - 1)]
        parser.run(damaged(start, lambda below: steer.ConsumeIntInRange(0, below - 1)))

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
