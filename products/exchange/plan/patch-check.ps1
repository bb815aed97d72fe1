# Says whether the files of Exchange, not its number in the directory, are those of the
# build that was to be installed. An update that was not started as administrator leaves
# old files behind and calls itself done. It only reads.
$ErrorActionPreference = 'Stop'
$want = [version]{target}
$bin = Join-Path $env:ExchangeInstallPath 'Bin'
$old = 0
foreach ($file in 'ExSetup.exe', 'Microsoft.Exchange.Common.dll', 'Microsoft.Exchange.Data.dll', 'Microsoft.Exchange.Management.dll', 'MSExchangeMailboxReplication.exe') {
    $path = Join-Path $bin $file
    if (-not (Test-Path -LiteralPath $path)) { Write-Warning "$file is not there"; continue }
    $v = (Get-Item -LiteralPath $path).VersionInfo
    $is = [version]('{0}.{1}.{2}.{3}' -f $v.FileMajorPart, $v.FileMinorPart, $v.FileBuildPart, $v.FilePrivatePart)
    # Not every file is new in every update; ExSetup.exe always is.
    $good = if ($file -eq 'ExSetup.exe') { $is -ge $want } else { $is.Build -eq $want.Build -or $is -ge $want }
    if (-not $good) { $old++ }
    '{0,-45} {1,-16} {2}' -f $file, $is, $(if ($good) { 'ok' } else { 'OLD' })
}
$stopped = @(Get-CimInstance Win32_Service -Filter "StartMode = 'Auto' AND State <> 'Running'" | Where-Object { $_.Name -like 'MSExchange*' -or $_.Name -eq 'W3SVC' })
foreach ($s in $stopped) { "$($s.Name) does not run" }
if (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager' PendingFileRenameOperations -ErrorAction SilentlyContinue) { 'A restart is pending: restart, then ask again' }
if ($old -gt 0) { "NOT verified: $old files are older than $want" } elseif ($stopped.Count -gt 0) { 'The files are right; see to the services' } else { "verified: $want or newer" }
