"""Hostile clients without a token: whatever they send, somebody else is served, the server lives, and nothing is left behind.
tests/security/run.py does more of each, and for longer."""

import sys

import harness
from harness import MODELS, SOURCE, eventually

sys.path[:0] = [str(SOURCE / "tests/security"), str(SOURCE / "tests/faults")]
import scene  # noqa: E402

MIB = 1 << 20
SECONDS = 1
# attack: (its options, what it is answered where that is sure, most memory in MiB that it takes). The last is there to find what grows without
# a bound; an attack that Debian's gRPC does not bound has none (see docs/security.md).
ATTACKS = {
    "idle": ({"count": 500}, None, 64),
    "silent": ({"count": 500}, None, 64),
    "slow_preface": ({"count": 200}, None, 64),
    "slow_headers": ({"count": 200}, None, 64),
    "slow_handshake": ({"count": 200}, "200 ended", 64),
    "slow_http": ({"count": 50}, None, 64),
    "pings": ({}, None, 256),
    "settings": ({}, None, 64),
    "empty_data": ({}, None, 64),
    "rapid_reset": ({}, None, None),
    "open_streams": ({}, "grpc-status 14", 64),
    "continuation": ({}, None, None),
    "header_string": ({}, None, 256),
    "header_table": ({}, "grpc-status 8", 64),
    "compressed": ({"size": 128 * MIB}, "grpc-status 8", 512),
}


class Hostile(harness.GrpcCase):
    def test_somebody_else_is_served_meanwhile(self):
        import attacks
        self.assertEqual(set(ATTACKS), set(attacks.ATTACKS))
        with scene.serve(MODELS / "bert") as (server, _):
            for name, (options, answer, most) in ATTACKS.items():
                with self.subTest(name):
                    files = server.files()
                    result = scene.play(name, server, None, SECONDS, options=options)
                    harness.figures(f"{name}: {result}")
                    self.assertTrue(result["alive"], server.errors())
                    self.assertEqual(result["others"]["failed"], {})
                    self.assertGreater(result["others"]["calls"], 0)
                    if answer is not None:
                        self.assertIn(answer, result["refused"])
                    before, peak, _ = result["memory_bytes"]
                    if most is not None:
                        self.assertLess((peak - before) / MIB, most)
                    self.assertTrue(eventually(lambda files=files: server.files() <= files + 2), "connections are left behind")
            code, log = server.stop()
            self.assertEqual(code, 0)
            self.assertNotIn(scene.TOKEN, log + server.errors())


if __name__ == "__main__":
    harness.unittest.main()
