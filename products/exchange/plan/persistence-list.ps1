# Lists what starts by itself or sits in the path of requests and mail: where intruders
# stay. It only reads. Compare with a server of the same build that is known to be clean,
# and ask of each line who put it there.
$ErrorActionPreference = 'Continue'
'--- scheduled tasks that are not Microsoft''s'
Get-ScheduledTask | Where-Object { $_.TaskPath -notlike '\Microsoft\*' } |
    Select-Object TaskPath, TaskName, State, @{ n = 'Runs'; e = { ($_.Actions | ForEach-Object { "$($_.Execute) $($_.Arguments)" }) -join '; ' } } | Format-Table -AutoSize -Wrap
'--- services outside of Windows and Exchange'
Get-CimInstance Win32_Service | Where-Object { $_.PathName -notlike "*$env:SystemRoot\*" -and $_.PathName -notlike "*$env:ExchangeInstallPath*" } |
    Select-Object Name, StartMode, StartName, PathName | Format-Table -AutoSize -Wrap
'--- event subscriptions of WMI'
Get-CimInstance -Namespace root\subscription -ClassName __FilterToConsumerBinding | Format-List Filter, Consumer
'--- modules of IIS'
Import-Module WebAdministration
Get-WebGlobalModule | Select-Object Name, Image | Format-Table -AutoSize -Wrap
'--- virtual directories and where they lead'
Get-WebVirtualDirectory | Select-Object Path, PhysicalPath | Format-Table -AutoSize -Wrap
Get-WebApplication | Select-Object Path, PhysicalPath | Format-Table -AutoSize -Wrap
'--- accounts of this machine, and its administrators'
Get-LocalUser | Select-Object Name, Enabled, LastLogon, PasswordLastSet | Format-Table -AutoSize
Get-LocalGroupMember -SID S-1-5-32-544 | Format-Table -AutoSize
'--- exclusions of the antivirus'
Get-MpPreference | Select-Object -ExpandProperty ExclusionPath
