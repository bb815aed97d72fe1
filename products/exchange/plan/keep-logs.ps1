# Copies logs that delete themselves to a folder on another disk or share. It only reads
# on this server. Run it again every hour until the night is over.
#   .\keep-logs.ps1 -To \\SERVER\share\ex01        copy
#   .\keep-logs.ps1 -To \\SERVER\share\ex01 -Check say what is in the copy
param([Parameter(Mandatory)][string]$To, [switch]$Check)
$ErrorActionPreference = 'Stop'
$from = @(
    @{ Name = 'exchange'; Path = Join-Path $env:ExchangeInstallPath 'Logging' }
    @{ Name = 'iis'; Path = Join-Path $env:SystemDrive 'inetpub\logs\LogFiles' }
    @{ Name = 'events'; Path = Join-Path $env:SystemRoot 'System32\winevt\Logs' }
)
foreach ($f in $from) {
    $target = Join-Path $To $f.Name
    if ($Check) {
        $files = @(Get-ChildItem -LiteralPath $target -Recurse -File -ErrorAction SilentlyContinue)
        '{0}: {1} files, {2:N0} MB, oldest {3:u}' -f $f.Name, $files.Count,
            (($files | Measure-Object Length -Sum).Sum / 1MB), ($files | Sort-Object LastWriteTimeUtc | Select-Object -First 1).LastWriteTimeUtc
        continue
    }
    if (-not (Test-Path -LiteralPath $f.Path)) { Write-Warning "$($f.Path) is not there: look for it in the settings of the site or server"; continue }
    # /B reads what only backup may read; nothing is deleted in the copy.
    robocopy $f.Path $target /E /B /COPY:DAT /DCOPY:DAT /R:1 /W:1 /NP /NFL /NDL
    if ($LASTEXITCODE -ge 8) { Write-Warning "$($f.Name): some files were not copied (robocopy $LASTEXITCODE); open event logs are, with 'wevtutil epl'" }
}
