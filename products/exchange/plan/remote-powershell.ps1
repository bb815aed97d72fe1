# Takes remote PowerShell away from everybody who is no administrator of Exchange. ProxyNotShell
# (CVE-2022-41082) and OWASSRF need it, with the password of any user; the update of November
# 2022 makes this unnecessary. For the Exchange Management Shell. Programs that manage Exchange
# with an account of their own need it too: name those accounts with -Keep.
#   .\remote-powershell.ps1          list who has it, and who would keep it
#   .\remote-powershell.ps1 -Apply   take it away, and note from whom
#   .\remote-powershell.ps1 -Undo    give it back to those who were noted
param([switch]$Apply, [switch]$Undo, [string[]]$Keep = @(),
    [string]$State = (Join-Path $env:windir 'System32\inetsrv\config\postern-scripts'))
$ErrorActionPreference = 'Stop'
$noted = Join-Path $State 'remote-powershell.txt'
if ($Undo) {
    if (-not (Test-Path -LiteralPath $noted)) { throw "nothing is noted in $noted" }
    Get-Content -LiteralPath $noted -Encoding UTF8 | Where-Object { $_ } | Select-Object -Unique |
        ForEach-Object { Set-User -Identity $_ -RemotePowerShellEnabled $true -Confirm:$false }
    Remove-Item -LiteralPath $noted
    'given back'
    return
}
# Members of role groups administer. What is a group among them is not looked into.
$members = @(Get-RoleGroup -ResultSize Unlimited | ForEach-Object { Get-RoleGroupMember -Identity $_.DistinguishedName -ResultSize Unlimited })
$nested = @($members | Where-Object { "$($_.RecipientType)" -like '*Group*' } | Select-Object -ExpandProperty Name -Unique)
$keepers = @($members | ForEach-Object { $_.DistinguishedName }) + @($Keep | ForEach-Object { (Get-User -Identity $_).DistinguishedName })
$all = @(Get-User -ResultSize Unlimited -Filter 'RemotePowerShellEnabled -eq $true')
# Exchange tests itself with mailboxes of its own.
$rest = @($all | Where-Object { $keepers -notcontains $_.DistinguishedName -and $_.Name -notlike 'HealthMailbox*' })
$all | Where-Object { $rest -notcontains $_ } | Format-Table @{ n = 'Keeps it'; e = { $_.Name } }, SamAccountName -AutoSize
$rest | Format-Table @{ n = 'Loses it'; e = { $_.Name } }, SamAccountName -AutoSize
if ($nested.Count -gt 0) { Write-Warning "Not looked into: $($nested -join ', '). Name their members with -Keep." }
if (-not $Apply) { "$($rest.Count) of $($all.Count) would lose it"; return }
if ($nested.Count -gt 0 -and $Keep.Count -eq 0) { throw 'groups inside role groups: name who is to keep it with -Keep' }
$me = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
if (@($rest | Where-Object { "$($_.Sid)" -eq $me }).Count -gt 0) { throw 'you would lose it yourself: name your account with -Keep' }
New-Item -ItemType Directory -Force -Path $State | Out-Null
foreach ($user in $rest) {
    Add-Content -LiteralPath $noted -Value $user.DistinguishedName -Encoding UTF8
    Set-User -Identity $user.DistinguishedName -RemotePowerShellEnabled $false -Confirm:$false
}
"$($rest.Count) lost it; noted in $noted"
