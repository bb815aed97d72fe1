# Lists where machine keys of web applications are written down, and whether they are the
# same as on the other servers, without showing them. It only reads.
$ErrorActionPreference = 'Stop'
$roots = $env:ExchangeInstallPath, (Join-Path $env:SystemDrive 'inetpub\wwwroot'), (Join-Path $env:SystemRoot 'Microsoft.NET\Framework64\v4.0.30319\Config')
$sha = [Security.Cryptography.SHA256]::Create()
foreach ($file in Get-ChildItem -LiteralPath $roots -Recurse -File -ErrorAction SilentlyContinue | Where-Object { $_.Name -in 'web.config', 'machine.config' }) {
    try { $xml = [xml](Get-Content -LiteralPath $file.FullName -Raw) } catch { Write-Warning "$($file.FullName) cannot be read"; continue }
    foreach ($key in $xml.SelectNodes('//machineKey[@validationKey]')) {
        $hash = [BitConverter]::ToString($sha.ComputeHash([Text.Encoding]::UTF8.GetBytes($key.validationKey)), 0, 6)
        $kind = if ($key.validationKey -like 'AutoGenerate*') { 'made by ASP.NET' } else { 'written down' }
        '{0}  {1,-16} {2}' -f $hash, $kind, $file.FullName
    }
}
