"""Asterisk configuration for the laboratory: a guarded PBX with one phone and one carrier trunk.

The files under `asterisk-conf/` are used as an operator would use them, unmodified but for the
secret; what stands here is the operator's own part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ASTERISK_CONF = CHECKOUT / "asterisk-conf"

# Loaded one by one: a boot with `autoload` takes several times as long.
MODULES = """
res_sorcery_config res_sorcery_memory res_sorcery_astdb res_sorcery_memory_cache
res_pjproject res_timing_timerfd res_speech
pbx_config app_stack func_cdr func_channel func_uri func_strings func_logic func_global
func_callerid func_timeout func_hangupcause func_math func_dialplan func_cut func_groupcount
func_env func_rand func_volume func_periodic_hook func_db func_sprintf func_pjsip_endpoint
codec_ulaw codec_alaw codec_a_mu codec_resample format_pcm format_wav format_sln
bridge_simple bridge_native_rtp bridge_softmix bridge_builtin_features
bridge_builtin_interval_features bridge_holding res_musiconhold
res_rtp_asterisk res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_caller_id
res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user res_pjsip_rfc3326
res_pjsip_dtmf_info res_pjsip_header_funcs res_pjsip_authenticator_digest res_pjsip_nat
res_pjsip_dlg_options res_pjsip_diversion res_pjsip_refer res_pjsip_pubsub res_pjsip_logger
chan_pjsip chan_bridge_media
app_dial app_amd app_playback app_mixmonitor app_verbose app_record app_senddtmf app_echo app_queue
app_cdr app_forkcdr app_confbridge app_chanspy app_softhangup app_read app_originate app_exec
app_while app_userevent app_channelredirect app_bridgewait app_bridgeaddchan app_milliwatt
app_attended_transfer app_blind_transfer app_directed_pickup app_transfer
res_agi cdr_csv cdr_manager res_cdrel_custom cdr_custom
"""


PARTIES = 80


@dataclass(frozen=True, slots=True)
class Sites:
    """Ports on 127.0.0.1: the SIP parties, the AMI, the FastAGI server, the media range, and the
    first of `PARTIES` ports for parties of calls that go on at once."""

    sip: int
    agent: int
    carrier: int
    ami: int
    agi: int
    rtp_first: int
    rtp_last: int
    parties: int


def asterisk_conf(home: str) -> str:
    """`asterisk.conf` for an instance whose own folders lie under `home` (Asterisk's view)."""
    return f"""[directories]
astcachedir => {home}/cache
astetcdir => {home}/etc
astvarlibdir => {home}/lib
astdbdir => {home}/db
astkeydir => {home}/lib
astspooldir => {home}/spool
astrundir => {home}/run
astlogdir => {home}/log
[options]
nocolor = yes
hideconnect = yes
"""


def modules_conf() -> str:
    """Only what the laboratory uses."""
    lines = [f"load = {name}.so" for name in MODULES.split()]
    return "\n".join(["[modules]", "autoload = no", *lines]) + "\n"


def common(sites: Sites) -> dict[str, str]:
    """Files that every instance has, by name."""
    return {
        "modules.conf": modules_conf(),
        "logger.conf": (
            "[general]\ndateformat=%F %T.%3q\n"
            "[logfiles]\nfull => notice,warning,error,verbose,dtmf\n"
        ),
        "rtp.conf": (
            f"[general]\nrtpstart={sites.rtp_first}\nrtpend={sites.rtp_last}\n"
            "strictrtp=no\nicesupport=no\n"
        ),
        "pjproject.conf": "",
        "musiconhold.conf": "",
        "cdr.conf": (
            "[general]\nenable=yes\nunanswered=yes\n[csv]\nloguniqueid=yes\nloguserfield=yes\n"
        ),
        "cdr_custom.conf": "#include cdr_custom_callguard.conf\n",
        "cdr_manager.conf": (ASTERISK_CONF / "cdr_manager_callguard.conf").read_text(),
        "features.conf": (
            "[general]\n[featuremap]\nblindxfer => *1\n"
            "[applicationmap]\n#include features_callguard.conf\n"
        ),
        "indications.conf": "[general]\ncountry=us\n[us]\nringcadence=2000,4000\n",
        "amd.conf": "[general]\n",
        "confbridge.conf": "[general]\n",
        "queues.conf": "[general]\n[support]\nstrategy=ringall\nmember => PJSIP/agent1\n",
    }


def manager_conf(sites: Sites, *, port: int, observer_secret: str) -> str:
    """The operator's manager.conf. `observer` sees every event: it is the tests' own eye."""
    return f"""[general]
enabled = yes
bindaddr = 127.0.0.1
port = {port}
#include manager_callguard.conf

[observer]
writetimeout = 5000
secret = {observer_secret}
read = all
write = all
"""


def pjsip_conf(sites: Sites) -> str:
    """`agent1` is a phone, `carrier` the trunk, `carrier-info` one that knows digits only as SIP
    INFO; all are fixed addresses on loopback."""
    return f"""[global]
type=global
user_agent=callguard-lab
[loopback]
type=transport
protocol=udp
bind=127.0.0.1:{sites.sip}

[common](!)
type=endpoint
transport=loopback
disallow=all
allow=ulaw
direct_media=no
dtmf_mode=rfc4733
media_address=127.0.0.1
bind_rtp_to_media_address=yes
rtp_symmetric=yes

[agent1](common)
context=from-agents
aors=agent1
accountcode=tenant-a
[agent1]
type=aor
contact=sip:agent1@127.0.0.1:{sites.agent}

[carrier](common)
context=from-carrier
aors=carrier
[carrier]
type=aor
contact=sip:127.0.0.1:{sites.carrier}
[carrier]
type=identify
endpoint=carrier
match_header=X-Lab-Side: carrier

[carrier-info](common)
context=from-carrier
aors=carrier
dtmf_mode=info
[carrier-info]
type=identify
endpoint=carrier-info
match_header=X-Lab-Side: info
[agent1]
type=identify
endpoint=agent1
match_header=X-Lab-Side: agent
"""


_EVERY_ARGUMENT = "tenant-b,marketing,may 2026,agent7,loan 12/7 & more,machine"

_FREE = "%" * 1500


def _party(sites: Sites, user: str) -> str:
    """The address of a party whose port the dialled digits say."""
    return f"sip:{user}@127.0.0.1:$[{sites.parties} + ${{EXTEN:2:2}}]"


def operator_dialplan(sites: Sites) -> str:
    """What an operator has, with the two Gosub lines added."""
    return f"""[general]
[globals]
CALLGUARD_AGI=127.0.0.1:{sites.agi}
CALLGUARD_PBX=lab
CALLGUARD_LEASE_FILE=/instance/spool/callguard/alive
#include extensions_callguard.conf

[from-agents]
exten => _[0-9+].,1,Gosub(callguard-outbound,${{EXTEN}},1(${{CHANNEL(accountcode)}}))
 same => n,Dial(PJSIP/${{EXTEN}}@carrier,30,${{CALLGUARD_DIAL}})
 same => n,Hangup()
; The same with every argument given.
exten => _*7[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:2}},1({_EVERY_ARGUMENT}))
 same => n,Dial(PJSIP/${{EXTEN:2}}@carrier,30,${{CALLGUARD_DIAL}})
 same => n,Hangup()
; Free texts that, once encoded, are longer than what AGI() can be given.
exten => _*3[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:2}},1(a,,{_FREE},{_FREE},loan,machine))
 same => n,Hangup()
; One of the tenants tenant-0 to tenant-9, for what is tenant-a's by no means.
exten => _*5X[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:3}},1(tenant-${{EXTEN:2:1}}))
 same => n,Dial(PJSIP/${{EXTEN:3}}@carrier,30,${{CALLGUARD_DIAL}})
 same => n,Hangup()
; Of calls that go on at once: two digits say at which further port the party is, the third whose
; call it is (tenant-0 to tenant-9).
exten => _*2XXX[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:5}},1(tenant-${{EXTEN:4:1}}))
 same => n,Dial(PJSIP/carrier/{_party(sites, "${EXTEN:5}")},30,${{CALLGUARD_DIAL}})
 same => n,Hangup()
exten => _*1XXX[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:5}},1(tenant-${{EXTEN:4:1}}))
 same => n,Dial(PJSIP/carrier-info/{_party(sites, "${EXTEN:5}")},30,${{CALLGUARD_DIAL}})
 same => n,Hangup()
; The same, but it is listened first whether a machine answered.
exten => _*0XXX[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:5}},1(tenant-${{EXTEN:4:1}}))
 same => n,Dial(PJSIP/carrier/{_party(sites, "${EXTEN:5}")},30,U(lab-machine^${{CALLGUARD_CALL}}))
 same => n,Hangup()
; From within a subroutine that has arguments of its own.
exten => _*4[0-9+].,1,Gosub(lab-trunk,s,1({_EVERY_ARGUMENT},${{EXTEN:2}}))
; A tenant that is none.
exten => _*6[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:2}},1(nobody))
 same => n,Dial(PJSIP/${{EXTEN:2}}@carrier,30,${{CALLGUARD_DIAL}})
; A second passage of one channel through the gate, after the test let the lease go stale.
exten => _*8[0-9+].,1,Gosub(callguard-outbound,${{EXTEN:2}},1(tenant-a))
 same => n,Wait(0.5)
 same => n,Gosub(callguard-outbound,${{EXTEN:2}},1(tenant-a))
 same => n,Dial(PJSIP/${{EXTEN:2}}@carrier,30,${{CALLGUARD_DIAL}})

[lab-machine]
exten => s,1,AMD()
 same => n,Gosub(callguard-answered,s,1(${{ARG1}}))
 same => n,Return()

[lab-trunk]
exten => s,1,Gosub(callguard-outbound,${{ARG7}},1(tenant-a))
 same => n,Hangup()

[lab-hears]
exten => s,1,MixMonitor(/instance/log/call-${{ARG1}}.sln,t(/instance/log/heard-${{ARG1}}.sln))
 same => n,Return()

[from-carrier]
exten => _X!,1,Gosub(callguard-inbound,${{EXTEN}},1(tenant-a))
 same => n,Dial(PJSIP/agent1,20)
 same => n,Hangup()
; Of calls that go on at once, as above; the port is that of the agent's phone.
exten => _*2XXX,1,Gosub(callguard-inbound,12025550100,1(tenant-${{EXTEN:4:1}}))
 same => n,Dial(PJSIP/agent1/{_party(sites, "agent1")},20)
 same => n,Hangup()
; Opt-out lines of the tenants tenant-0 to tenant-9, and a line of tenant-a's. What their callers
; hear is written down.
exten => _1202555018X,1,Gosub(lab-hears,s,1(${{EXTEN}}))
 same => n,Gosub(callguard-optout-line,${{EXTEN}},1(tenant-${{EXTEN:10}}))
exten => 12025550170,1,Gosub(lab-hears,s,1(${{EXTEN}}))
 same => n,Gosub(callguard-inbound,${{EXTEN}},1(tenant-a))
 same => n,Hangup()
exten => 12025550190,1,Gosub(callguard-inbound,${{EXTEN}},1(tenant-a))
 same => n,Answer()
 same => n,Queue(support,,,,20)
 same => n,Hangup()
"""
