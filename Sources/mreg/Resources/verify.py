"""Verifies an exported audit record: python3 verify.py [FOLDER]

Needs Python 3.9, and openssl on the path for the signatures. Checks that rows and seals follow each other without a gap,
that each seal is the SHA-256 of its rows and of the seal before, and that the signed heads are seals of this chain,
signed with key.pem. It cannot check the rows' own codes: they take the gateway's record key.
"""
import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile


def integer(value):
    return struct.pack(">q", value)


def optional(value):
    return b"\0" if value is None else b"\1" + integer(value)


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def canonical(row):
    return b"".join([
        integer(row["id"]), integer(row["created_at"]), optional(row["user_id"]), optional(row["tenant_id"]), optional(row["server_id"]),
        text(row["action"]), text(row["target"]), text(row["outcome"]), text(row["reason"]), integer(row["status"]),
        int(row["response_time_ms_bits"], 16).to_bytes(8, "big"), text(row["address"]), bytes.fromhex(row["request_id"]), integer(row["weight"]),
    ])


def fail(sentence):
    sys.exit("NOT as it was written. " + sentence)


def main(folder):
    last_row = last_seal = unsealed = None
    seal_hash = b""
    rows = hashlib.sha256()
    seals = {}
    count = 0
    for line in open(os.path.join(folder, "record.jsonl"), encoding="utf-8"):
        entry = json.loads(line)
        if "start" in entry:
            start = entry["start"]
            last_row, last_seal, seal_hash = start["row"], start["seal"], bytes.fromhex(start["hash"])
            seals[last_seal] = start["hash"]
            unsealed = 0
        elif "row" in entry:
            row = entry["row"]
            if row["id"] != last_row + 1:
                fail(f"Row {last_row + 1} is missing or out of order: row {row['id']} stands there.")
            rows.update(canonical(row) + bytes.fromhex(row["mac"]))
            last_row, unsealed, count = row["id"], unsealed + 1, count + 1
        else:
            seal = entry["seal"]
            first = last_row - unsealed + 1
            if seal["id"] != last_seal + 1 or seal["first"] != first or seal["last"] != last_row:
                fail(f"Seal {last_seal + 1} should close rows {first} to {last_row}; seal {seal['id']} says {seal['first']} to {seal['last']}.")
            digest = hashlib.sha256(seal_hash + integer(first) + integer(last_row) + rows.digest()).digest()
            if digest.hex() != seal["hash"]:
                fail(f"Rows {first} to {last_row} are not the ones that seal {seal['id']} was made of.")
            last_seal, seal_hash, rows, unsealed = seal["id"], digest, hashlib.sha256(), 0
            seals[last_seal] = seal["hash"]
    signed = 0
    key = os.path.join(folder, "key.pem")
    heads = os.path.join(folder, "heads")
    for line in open(heads, encoding="utf-8") if os.path.exists(heads) and os.path.exists(key) else []:
        version, seal, digest, moment, _, signature = line.split()
        if int(seal) in seals and seals[int(seal)] != digest:
            fail(f"The signed head of seal {seal} is of another record.")
        with tempfile.NamedTemporaryFile() as file:
            file.write(base64.b64decode(signature))
            file.flush()
            message = " ".join([version, seal, digest, moment]).encode()
            check = subprocess.run(["openssl", "dgst", "-sha256", "-verify", key, "-signature", file.name], input=message, capture_output=True)
        if check.returncode != 0:
            fail(f"The signature of the head of seal {seal} does not hold.")
        signed += 1
    print(f"{count} rows up to row {last_row}, {len(seals) - 1} seals, {signed} signed heads, {unsealed} rows not sealed yet.")
    print("The record is as it was written.")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
