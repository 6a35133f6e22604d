#!/usr/bin/env python3
"""Follow what happens in jobs, with Python's standard library alone.

    watch.py /run/jobd/jobd.sock all=true event=exec,job_end
    watch.py /run/jobd/jobd.sock job=17

Prints a line for each event, until the job has ended or somebody has seen
enough. Where the stream is cut off, because jobd is restarted or this was too
slow, it goes on after the last event that it had. docs/protocol.md says what
the lines hold.
"""
import http.client
import json
import socket
import sys
import time
import urllib.parse


class Refused(Exception):
    """jobd said no; args are its error object."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("jobd")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def events(path, query):
    """Yield the events of one stream. It ends where jobd ends it; what is cut off raises http.client.IncompleteRead."""
    connection = UnixConnection(path)
    connection.request("GET", "/v1/watch?" + urllib.parse.urlencode(query))
    answer = connection.getresponse()  # from here on nothing is missed
    if answer.status != 200:
        raise Refused(json.load(answer)["error"])
    try:
        rest = b""
        while piece := answer.read1(65536):
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)
    finally:
        connection.close()


def follow(path, query, patience=30):
    """Yield events over restarts of jobd: an event "lost" says where some are missing."""
    tried = time.monotonic()
    while True:
        try:
            for event in events(path, query):
                query["cursor"] = event["cursor"]
                tried = time.monotonic()
                yield event
            return
        except (OSError, http.client.HTTPException):
            if time.monotonic() - tried > patience:
                raise
            time.sleep(0.2)


def describe(event):
    what = {
        "clone": lambda: f"from {event['ppid']}",
        "exec": lambda: event["exe"] or "?",
        "uid": lambda: f"{event['uid']} effective {event['euid']}",
        "exit": lambda: f"status {event['exit_status']}",
        "free": lambda: f"status {event['exit_status']}",
        "lost": lambda: f"{event['lost'] or 'some'} ({event['why']})",
        "job_start": lambda: event["user"],
        "job_end": lambda: event["end_reason"],
    }.get(event["event"], lambda: "")()
    return f"{event['time']} {event['seq'] or '-'} {event['event']} {event['pid'] or '-'} {what}".rstrip()


def main(path, *parameters):
    query = dict(p.split("=", 1) for p in parameters)
    try:
        for event in follow(path, query):
            print(describe(event), flush=True)
    except Refused as no:
        sys.exit(f"watch.py: {no.args[0]['message']}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
