"""What the commands for enrolment, doctor and certificates say, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

ENROLMENT_WORDS: Mapping[str, tuple[str, str]] = {
    # Headers
    "check": ("what was checked", "检查项"),
    "verdict": ("verdict", "结论"),
    "details": ("what was found", "检查结果"),
    "alert": ("alert", "警示"),
    "UNKNOWN": ("NOT KNOWN HERE", "本机未知"),
    # Checks
    "files": ("files", "配置文件"),
    "certificate": ("certificate", "系统证书"),
    "chain": ("chain", "证书链"),
    "tls": ("TLS", "TLS 连接"),
    "clock": ("clock", "时钟"),
    "authority": ("authority", "认证中心"),
    "revocation": ("revocation lists", "吊销列表"),
    "checkpoint": ("transfer log", "传输日志"),
    # Verdicts
    "OK": ("ok", "正常"),
    "WARNING": ("warning", "注意"),
    "FAULT": ("FAULT", "故障"),
    "SKIPPED": ("skipped", "未检查"),
    # Sentences
    "enrolled": (
        "profile {profile} is ready: {identity}, in {directory}",
        "配置 {profile} 已就绪：{identity}，位于 {directory}",
    ),
    "enrolled_before": (
        "profile {profile} had been enrolled before: {identity}",
        "配置 {profile} 此前已完成注册：{identity}",
    ),
    "enrolled_without_seal": (
        "profile {profile} is ready: {identity}; its seal, SHA-256 of the key {seal_key_sha256}, "
        "is {seal}",
        "配置 {profile} 已就绪：{identity}；印章（公钥 SHA-256 {seal_key_sha256}）状态：{seal}",
    ),
    "not_enrolled": (
        "{profile}: not enrolled: {message} [{error}]",
        "{profile}：未完成注册：{message} [{error}]",
    ),
    "seal_pending": (
        "the seal awaits approval by the centre's security staff. Call them, read out the "
        "SHA-256 of its key, and repeat this command afterwards (or give --wait):\n  {key_sha256}",
        "电子印章等待中心安全管理员批准。请致电安全管理员，宣读印章公钥的 SHA-256，"
        "批准后重复本命令（或使用 --wait）：\n  {key_sha256}",
    ),
    "waiting_for_seal": (
        "waiting for the approval ... (Ctrl-C is safe: repeat this command later)",
        "正在等待批准……（可按 Ctrl-C 中断，之后重复本命令即可）",
    ),
    "no_self_test": (
        "no test document was sent, as this profile has no seal",
        "该配置没有电子印章，未发送测试公文",
    ),
    "tested": (
        "a test document went to {unit_id} itself and was signed for: envelope {envelope_id}, "
        "receipt {receipt_id}, {signed_for_at}",
        "测试公文已发给本单位并签收：信封 {envelope_id}，回执 {receipt_id}，{signed_for_at}",
    ),
    "healthy": ("everything is in order", "一切正常"),
    "renewed": (
        "{kind}: renewed, valid until {not_after}",
        "{kind}：已更新，有效期至 {not_after}",
    ),
    "not_due": (
        "{kind}: valid until {not_after}, to be renewed from {due}; --force renews it now",
        "{kind}：有效期至 {not_after}，{due} 起可更新；如需立即更新请用 --force",
    ),
    "own_certificate": (
        "{identity}, serial {serial}, until {not_after}, revoked: {revoked_at} {alert}",
        "{identity}，序列号 {serial}，有效期至 {not_after}，吊销：{revoked_at} {alert}",
    ),
    "unknown_certificates": (
        "{count} valid certificate(s) of your unit are not known to this profile: if nobody of "
        "your unit enrolled for them, have security staff revoke them at once; otherwise "
        "exchange certificates --acknowledge FINGERPRINT",
        "本单位有 {count} 张有效证书不为该配置所知：如非本单位申请，请立即通知安全管理员吊销；"
        "否则请用 exchange certificates --acknowledge 指纹 确认",
    ),
    # What the doctor found
    "found_in_memory": ("the profile is in memory only", "配置仅在内存中"),
    "found_private": ("{directory}", "{directory}"),
    "found_directory_open": (
        "others may write in {directory}",
        "其他用户可写入 {directory}",
    ),
    "found_valid": (
        "valid until {not_after}; to be renewed from {due}",
        "有效期至 {not_after}；{due} 起更新",
    ),
    "found_not_yet_valid": ("valid only from {not_before}", "{not_before} 起才生效"),
    "found_expired": ("it expired on {not_after}", "已于 {not_after} 过期"),
    "found_ending": (
        "it ends on {not_after}, and should have been renewed long ago",
        "将于 {not_after} 到期，早应更新",
    ),
    "found_renewal_due": (
        "it ends on {not_after}; renewal is due since {due}",
        "将于 {not_after} 到期；自 {due} 起应更新",
    ),
    "found_chained": ("it leads to the pinned root {root}", "可追溯至指定的根证书 {root}"),
    "found_no_seal": ("this profile can't seal documents", "该配置不能签章"),
    "found_error": ("{error}", "{error}"),
    "found_skipped": ("not checked, because of: {check}", "因“{check}”故障未检查"),
    "found_no_address": ("{address} is no HOST:PORT", "{address} 不是 主机:端口"),
    "found_no_such_host": ("no address is found for {host}", "找不到主机 {host}"),
    "found_not_reached": ("{address} can't be reached: {reason}", "无法连接 {address}：{reason}"),
    "found_reached": ("{address} answers at {peer}", "{address} 可连接（{peer}）"),
    "found_trusted_server": ("{version}, server {name}", "{version}，服务器 {name}"),
    "found_other_server_name": (
        "the server's certificate is not for {name}",
        "服务器证书不属于 {name}",
    ),
    "found_untrusted_server": (
        "the server's certificate does not chain to the profile's tls_ca: {reason}",
        "服务器证书不能追溯至配置中的 tls_ca：{reason}",
    ),
    "found_old_tls": ("the server does not speak TLS 1.3", "服务器不支持 TLS 1.3"),
    "found_no_tls": ("the server did not complete a handshake: {reason}", "TLS 握手失败：{reason}"),
    "found_known": (
        "the centre knows this caller as {identity}, from {address}",
        "中心识别为 {identity}，来自 {address}",
    ),
    "found_mistaken": (
        "the centre takes this caller for {identity}, and the certificate says {own}",
        "中心识别为 {identity}，而证书为 {own}",
    ),
    "found_unit_not_active": ("unit {unit} is {status}", "单位 {unit} 的状态为 {status}"),
    "found_status_old": (
        "the server that answered last knew {age_s} s ago who was revoked",
        "应答的服务器 {age_s} 秒前才获知证书状态",
    ),
    "found_in_time": (
        "{difference_s} s apart from the centre's",
        "与中心相差 {difference_s} 秒",
    ),
    "found_out_of_time": (
        "{difference_s} s apart from the centre's, where it is {server_time}",
        "与中心相差 {difference_s} 秒（中心时间 {server_time}）",
    ),
    "found_log_runs": ("the log is {origin}", "日志为 {origin}"),
    "found_no_log_yet": ("the centre runs no transfer log yet", "中心尚未启用传输日志"),
    "found_no_authority": (
        "the profile does not say where the authority is",
        "配置中没有认证中心的地址",
    ),
    "found_answers": ("{address} answers", "{address} 可用"),
    "found_list_expired": (
        "the list of {issuer} was in force until {until}",
        "{issuer} 的吊销列表已于 {until} 失效",
    ),
    "found_revoked": (
        "certificate {serial} is on the list of {issuer}",
        "证书 {serial} 已列入 {issuer} 的吊销列表",
    ),
    "found_lists_in_force": ("all in force, until {until} at least", "均有效，至少至 {until}"),
    # What to do about it
    "remedy_directory_open": ("Run  chmod 700 {directory}", "请执行 chmod 700 {directory}"),
    "remedy_not_yet_valid": (
        "Set this machine's clock right.",
        "请校准本机时钟。",
    ),
    "remedy_expired": (
        "Set this machine's clock right; if it is, ask the operator for a new token and enrol "
        "again with --replace.",
        "请校准本机时钟；如时钟无误，请向管理员申请新令牌并用 --replace 重新注册。",
    ),
    "remedy_ending": (
        "Run  exchange renew  and see what it says; tell the operator if it fails.",
        "请执行 exchange renew 并查看结果；如失败请告知管理员。",
    ),
    "remedy_renewal_due": ("Run  exchange renew", "请执行 exchange renew"),
    "remedy_no_seal": (
        "Nothing, if another system of your unit seals. Otherwise repeat  exchange enrol  to "
        "collect an approved seal.",
        "如由本单位其他系统签章则无需处理；否则请重复 exchange enrol 领取已批准的印章。",
    ),
    "remedy_no_address": (
        "Correct  address  in profile.toml.",
        "请更正 profile.toml 中的 address。",
    ),
    "remedy_no_such_host": (
        "Correct  address  in profile.toml, or mend this machine's name service.",
        "请更正 profile.toml 中的 address，或修复本机域名解析。",
    ),
    "remedy_not_reached": (
        "See that the centre is up, that  address  in profile.toml is right, and that no firewall "
        "is in between.",
        "请确认中心在运行、profile.toml 中的 address 正确、且无防火墙阻断。",
    ),
    "remedy_other_server_name": (
        "Correct  address  or  server_name  in profile.toml.",
        "请更正 profile.toml 中的 address 或 server_name。",
    ),
    "remedy_untrusted_server": (
        "Send nothing. Something stands in between, or the address is wrong: ask the operator.",
        "请勿发送任何内容。可能有设备拦截或地址有误，请询问管理员。",
    ),
    "remedy_old_tls": (
        "Something stands in between: the centre itself speaks TLS 1.3 only. Ask your network's "
        "administrator.",
        "中心只使用 TLS 1.3，请询问网络管理员是否有设备拦截。",
    ),
    "remedy_no_tls": (
        "Check the port in  address  in profile.toml.",
        "请检查 profile.toml 中 address 的端口。",
    ),
    "remedy_mistaken": ("Tell the operator.", "请告知管理员。"),
    "remedy_unit_not_active": (
        "Ask the operator why.",
        "请询问管理员原因。",
    ),
    "remedy_status_old": (
        "Nothing now; tell the operator if it stays.",
        "暂无需处理；如持续请告知管理员。",
    ),
    "remedy_out_of_time": (
        "Set this machine's clock right (NTP).",
        "请校准本机时钟（NTP）。",
    ),
    "remedy_no_authority": (
        'Ask the operator for its address and add  authority = "HOST:PORT"  to profile.toml; '
        "without it nothing is renewed.",
        '请向管理员索取地址，并在 profile.toml 中添加 authority = "主机:端口"；否则无法更新证书。',
    ),
    "remedy_list_expired": (
        "Tell the operator: evidence can't be checked with it.",
        "请告知管理员：该列表不能用于核验证据。",
    ),
    "remedy_revoked": (
        "Ask the operator for a new token and enrol again with --replace.",
        "请向管理员申请新令牌并用 --replace 重新注册。",
    ),
}
