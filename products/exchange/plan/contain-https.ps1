# Lets nobody from the internet reach HTTP and HTTPS on this server, with one rule of the
# Windows firewall. Private networks still get in. A reverse proxy or load balancer with a
# private address hides the internet: then close it there as well.
#   .\contain-https.ps1          say what is
#   .\contain-https.ps1 -Apply   close
#   .\contain-https.ps1 -Undo    open again
param([switch]$Apply, [switch]$Undo)
$ErrorActionPreference = 'Stop'
$name = 'postern: no HTTP and HTTPS from the internet'
# What IPv4 routes in public: all but 10/8, 127/8, 172.16/12 and 192.168/16; and the global
# addresses of IPv6. A block wins over every rule that allows.
$internet = '1.0.0.0-9.255.255.255', '11.0.0.0-126.255.255.255', '128.0.0.0-172.15.255.255',
    '172.32.0.0-192.167.255.255', '192.169.0.0-223.255.255.255', '2000::/3'
if ($Undo) { Get-NetFirewallRule -DisplayName $name -ErrorAction SilentlyContinue | Remove-NetFirewallRule }
if ($Apply -and -not (Get-NetFirewallRule -DisplayName $name -ErrorAction SilentlyContinue)) {
    New-NetFirewallRule -DisplayName $name -Direction Inbound -Action Block -Protocol TCP -LocalPort 80, 443 -RemoteAddress $internet | Out-Null
}
$off = @(Get-NetFirewallProfile -PolicyStore ActiveStore | Where-Object { $_.Enabled -eq 'False' })
if ($off.Count -gt 0) { Write-Warning "The firewall is off for: $($off.Name -join ', '). The rule does nothing there." }
if (Get-NetFirewallRule -DisplayName $name -ErrorAction SilentlyContinue) { 'closed to the internet' } else { 'open' }
