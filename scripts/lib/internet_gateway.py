"""A router's UPnP service, small enough to read: run inside a router's namespace, it opens ports with iptables.

Arguments: the inner and the outer IP address. Says "up", then each mapping it makes or removes.
"""

import re
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INNER, OUTER = sys.argv[1:3]
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
DEVICE = "urn:schemas-upnp-org:device:{}:1"
ROOT = f"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major>
<minor>0</minor></specVersion><device><deviceType>{DEVICE.format("InternetGatewayDevice")}</deviceType>
<friendlyName>t</friendlyName><UDN>uuid:1</UDN><deviceList><device><deviceType>{DEVICE.format("WANDevice")}</deviceType>
<UDN>uuid:2</UDN><deviceList><device><deviceType>{DEVICE.format("WANConnectionDevice")}</deviceType><UDN>uuid:3</UDN>
<serviceList><service><serviceType>{SERVICE}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>/control</controlURL><eventSubURL>/events</eventSubURL><SCPDURL>/scpd.xml</SCPDURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>"""
MAPPINGS = {}
ANSWERS = {
    "GetStatusInfo": "<NewConnectionStatus>Connected</NewConnectionStatus><NewUptime>9</NewUptime>",
    "GetExternalIPAddress": f"<NewExternalIPAddress>{OUTER}</NewExternalIPAddress>",
}


def value(body, name):
    found = re.search(f"<{name}>(.*?)</{name}>", body)
    return found.group(1) if found else ""


def iptables(switch, outer, host, inner):
    rule = ["-i", "eth0", "-p", "tcp"]
    to = ["--dport", outer, "-j", "DNAT", "--to-destination", f"{host}:{inner}"]
    subprocess.run(["iptables", "-t", "nat", switch, "PREROUTING", *rule, *to], check=True)
    subprocess.run(["iptables", switch, "FORWARD", *rule, "-d", host, "--dport", inner, "-j", "ACCEPT"], check=True)


class Control(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(ROOT)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = self.headers["SOAPAction"].strip('"').rpartition("#")[2]
        outer = value(body, "NewExternalPort")
        if action == "AddPortMapping":
            host, inner = value(body, "NewInternalClient"), value(body, "NewInternalPort")
            if outer not in MAPPINGS:
                # As routers do: before the rules that drop.
                MAPPINGS[outer] = (host, inner)
                iptables("-I", outer, host, inner)
                print("opened", outer, value(body, "NewLeaseDuration"), flush=True)
        elif action == "DeletePortMapping" and outer in MAPPINGS:
            iptables("-D", outer, *MAPPINGS.pop(outer))
            print("closed", outer, flush=True)
        inside = ANSWERS.get(action, "")
        self.answer(
            '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<u:{action}Response xmlns:u="{SERVICE}">{inside}</u:{action}Response></s:Body></s:Envelope>'
        )

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


def main():
    server = ThreadingHTTPServer((INNER, 5000), Control)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    search = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    search.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    search.bind(("", 1900))
    group = struct.pack("4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton(INNER))
    search.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    print("up", flush=True)
    while True:
        asked, sender = search.recvfrom(2048)
        wanted = DEVICE.format("InternetGatewayDevice")
        if asked.startswith(b"M-SEARCH") and wanted.encode() in asked:
            told = f"HTTP/1.1 200 OK\r\nST: {wanted}\r\nUSN: uuid:1::{wanted}\r\nLOCATION: http://{INNER}:5000/r.xml\r\n\r\n"
            search.sendto(told.encode(), sender)


main()
