"""Load of the Python client with answers that are known beforehand: client.cc in Python, of the same arguments, input and
output."""

import itertools
import json
import pathlib
import sys
import threading
import time

import midlayer
import numpy

PAUSE = 0.01  # seconds between two requests of one caller, as in client.cc

over = threading.Event()


class Question:
    def __init__(self, line):
        fields = json.loads(line)
        self.text = fields["text"]
        self.options = {"layer": fields["layer"], "pooling": fields["pooling"] or None}
        self.values = numpy.array(fields["values"], numpy.float32)


class Record:
    """Writes what happens, a line each. Thread-safe."""

    def __init__(self):
        self._ids = itertools.count()
        self._lock = threading.Lock()

    def _write(self, **event):
        with self._lock:
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()

    def begin(self, kind):
        id = next(self._ids)
        self._write(id=id, begun=time.monotonic(), kind=kind)
        return id

    def end(self, id, question, vector, selection):
        whole = vector.shape == question.values.shape
        difference = float(numpy.nan_to_num(numpy.abs(vector - question.values), nan=1e9).max()) if whole else 1e9
        self._write(id=id, ended=time.monotonic(), code="OK", difference=difference, selection=selection)

    def fail(self, id, error):
        self._write(id=id, ended=time.monotonic(), code=error.code.name, message=str(error))

    def open_stream(self):
        self._write(opened=time.monotonic())


def call(client, questions, first, record):
    for question in itertools.islice(itertools.cycle(questions), first, None):
        if over.is_set():
            return
        id = record.begin("call")
        try:
            result = client.embed([question.text], **question.options)
        except midlayer.MidlayerError as error:
            record.fail(id, error)
        else:
            record.end(id, question, result.vectors[0], result.selection_id)
        time.sleep(PAUSE)


class Stream:
    """One call of embed_stream, with texts until all is over."""

    def __init__(self, questions, record):
        self._questions = questions
        self._record = record
        self._ids = []
        self._answered = 0

    def _texts(self):
        for question in itertools.cycle(self._questions):
            time.sleep(PAUSE)
            if over.is_set():
                return
            self._ids.append(self._record.begin("stream"))
            yield question.text

    def _fail(self, error):
        for place in error.texts:
            self._record.fail(self._ids[place], error)
        self._answered = error.texts.stop

    def run(self, client):
        self._record.open_stream()
        options = self._questions[0].options
        try:
            for result in client.embed_stream(self._texts(), batch_size=1, on_error=self._fail, **options):
                question = self._questions[result.first % len(self._questions)]
                self._record.end(self._ids[result.first], question, result.vectors[0], result.selection_id)
                self._answered = result.first + 1
        except midlayer.MidlayerError as error:
            for id in self._ids[self._answered:]:
                self._record.fail(id, error)
            time.sleep(PAUSE)


def stream(client, questions, first, record):
    """One stream after the other, until all is over; mostly there is but one. Its texts are those with the options of
    question `first`."""
    options = questions[first % len(questions)].options
    questions = [question for question in questions if question.options == options]
    while not over.is_set():
        Stream(questions, record).run(client)


def main(target, path, callers, streams, attempts):
    questions = [Question(line) for line in pathlib.Path(path).read_text().splitlines()]
    record = Record()
    with midlayer.Client(target, max_attempts=int(attempts)) as client:
        work = [call] * int(callers) + [stream] * int(streams)
        threads = [threading.Thread(target=one, args=(client, questions, 7 * place, record)) for place, one in enumerate(work)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        over.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
