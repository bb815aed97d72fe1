package mitigate

import (
	"fmt"
	"regexp"
	"strings"

	"postern"
)

// Script is PowerShell for a mitigation that no configuration file decides. It is
// text: nothing here runs it.
type Script struct {
	Name string // of the file
	What postern.Text
	Body string // without comments, lines end in \n
}

// safeName is what names of pools and services look like; anything else could be read
// as code.
var safeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// Scripts gives three for a mitigation of pools or services: one that applies it and
// notes how things were, one that verifies, one that puts back what was noted.
// Services that would start things again are noted once for all mitigations, and put
// back with the last one.
func Scripts(m *Mitigation) ([]Script, error) {
	for _, list := range [...][]string{m.Pools, m.Services, m.RestartedBy, {m.Campaign, m.ID}} {
		for _, name := range list {
			if !safeName.MatchString(name) {
				return nil, fmt.Errorf("%s: the name %q does not go into a script", m.Key(), name)
			}
		}
	}
	id := m.Campaign + "-" + m.ID
	head := fmt.Sprintf(prologue, id, quoted(m.Pools), quoted(m.Services), quoted(m.RestartedBy))
	return []Script{
		{id + "-apply.ps1", postern.Say("mitigate.script.apply", "id", id), head + applyBody},
		{id + "-verify.ps1", postern.Say("mitigate.script.verify", "id", id), head + verifyBody},
		{id + "-undo.ps1", postern.Say("mitigate.script.undo", "id", id), head + undoBody},
	}, nil
}

// quoted writes names as elements of a PowerShell array.
func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = "'" + n + "'"
	}
	return strings.Join(q, ", ")
}

// prologue works with PowerShell 3, the oldest on servers that run Exchange 2013. What
// was is noted in a folder into which ordinary users cannot write.
const prologue = `#Requires -Version 3.0
param([string]$State = (Join-Path $env:windir 'System32\inetsrv\config\postern-scripts'))
$ErrorActionPreference = 'Stop'
$me = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'Administrator' }

$id = '%s'
$pools = @(%s)
$services = @(%s)
$restarters = @(%s)
$mine = Join-Path $State "$id.json"
$shared = Join-Path $State 'restarters.json'
if ($pools.Count -gt 0) { Import-Module WebAdministration }

function Read-One([string]$Name) {
    $s = Get-CimInstance -ClassName Win32_Service -Filter "Name='$Name'"
    if ($null -eq $s) { return }
    $key = Get-Item -LiteralPath "HKLM:\SYSTEM\CurrentControlSet\Services\$Name"
    [pscustomobject]@{ Name = $Name; StartMode = $s.StartMode; State = $s.State
        Delayed = ($s.StartMode -eq 'Auto' -and $key.GetValue('DelayedAutostart', 0) -eq 1) }
}
function Read-Pool([string]$Name) {
    $path = "IIS:\AppPools\$Name"
    if (-not (Test-Path -Path $path)) { return }
    [pscustomobject]@{ Name = $Name; AutoStart = [bool](Get-ItemProperty -Path $path -Name autoStart).Value
        State = (Get-WebAppPoolState -Name $Name).Value }
}
function Restore-One($Was) {
    $type = @{ Auto = 'Automatic'; Manual = 'Manual'; Disabled = 'Disabled' }[$Was.StartMode]
    if ($null -eq $type) { throw "$($Was.Name): $($Was.StartMode)" }
    Set-Service -Name $Was.Name -StartupType $type
    if ($Was.Delayed) {
        & sc.exe config $Was.Name 'start=' 'delayed-auto' | Out-Null
        if ($LASTEXITCODE -ne 0) { throw "$($Was.Name): sc.exe $LASTEXITCODE" }
    }
    if ($Was.State -eq 'Running') { Start-Service -Name $Was.Name }
}

`

const applyBody = `New-Item -ItemType Directory -Force -Path $State | Out-Null
if (-not (Test-Path -LiteralPath $mine)) {
    @{ services = @($services | ForEach-Object { Read-One $_ }); pools = @($pools | ForEach-Object { Read-Pool $_ }) } |
        ConvertTo-Json -Depth 4 | Set-Content -LiteralPath $mine -Encoding UTF8
}
if ($restarters.Count -gt 0 -and -not (Test-Path -LiteralPath $shared)) {
    @{ services = @($restarters | ForEach-Object { Read-One $_ }); pools = @() } |
        ConvertTo-Json -Depth 4 | Set-Content -LiteralPath $shared -Encoding UTF8
}
foreach ($name in $restarters + $services) {
    if ($null -eq (Read-One $name)) { continue }
    Set-Service -Name $name -StartupType Disabled
    Stop-Service -Name $name -Force
}
foreach ($name in $pools) {
    if ($null -eq (Read-Pool $name)) { continue }
    Set-ItemProperty -Path "IIS:\AppPools\$name" -Name autoStart -Value $false
    if ((Get-WebAppPoolState -Name $name).Value -ne 'Stopped') { Stop-WebAppPool -Name $name }
}
`

const verifyBody = `$open = 0
foreach ($name in $restarters + $services) {
    $s = Read-One $name
    if ($null -eq $s) { Write-Output "-    $name"; continue }
    $ok = $s.State -eq 'Stopped' -and $s.StartMode -eq 'Disabled'
    if (-not $ok) { $open++ }
    Write-Output "$(if ($ok) { 'ok  ' } else { 'OPEN' }) $name $($s.State) $($s.StartMode)"
}
foreach ($name in $pools) {
    $p = Read-Pool $name
    if ($null -eq $p) { Write-Output "-    $name"; continue }
    $ok = $p.State -eq 'Stopped' -and -not $p.AutoStart
    if (-not $ok) { $open++ }
    Write-Output "$(if ($ok) { 'ok  ' } else { 'OPEN' }) $name $($p.State) autoStart=$($p.AutoStart)"
}
if ($open -gt 0) { exit 1 }
exit 0
`

const undoBody = `if (-not (Test-Path -LiteralPath $mine)) { throw $mine }
$was = Get-Content -LiteralPath $mine -Raw | ConvertFrom-Json
foreach ($p in @($was.pools)) {
    if ($null -eq $p -or $pools -notcontains $p.Name) { continue }
    Set-ItemProperty -Path "IIS:\AppPools\$($p.Name)" -Name autoStart -Value ([bool]$p.AutoStart)
    if ($p.State -eq 'Started' -and (Get-WebAppPoolState -Name $p.Name).Value -ne 'Started') { Start-WebAppPool -Name $p.Name }
}
foreach ($s in @($was.services)) { if ($null -ne $s -and $services -contains $s.Name) { Restore-One $s } }
Remove-Item -LiteralPath $mine
$others = @(Get-ChildItem -LiteralPath $State -Filter '*.json' | Where-Object { $_.Name -ne 'restarters.json' })
if ($others.Count -eq 0 -and (Test-Path -LiteralPath $shared)) {
    $was = Get-Content -LiteralPath $shared -Raw | ConvertFrom-Json
    foreach ($s in @($was.services)) { if ($null -ne $s -and $restarters -contains $s.Name) { Restore-One $s } }
    Remove-Item -LiteralPath $shared
}
`
