# Lists who may do what in the organisation, and what was changed since the attack began.
# For the Exchange Management Shell. It only reads.
param([datetime]$Since = '2021-01-01')
$ErrorActionPreference = 'Continue'
'--- who may read or import all mail'
foreach ($role in 'Mailbox Import Export', 'ApplicationImpersonation', 'Mailbox Search') {
    Get-ManagementRoleAssignment -Role $role -GetEffectiveUsers | Select-Object Role, RoleAssigneeName, EffectiveUserName, WhenCreated | Format-Table -AutoSize
}
'--- administrators'
foreach ($group in 'Organization Management', 'Discovery Management', 'Server Management') { Get-RoleGroupMember $group | Select-Object @{ n = 'Group'; e = { $group } }, Name, WhenChanged | Format-Table -AutoSize }
'--- addresses of virtual directories: nothing but the names of this organisation belongs there'
Get-OabVirtualDirectory -ADPropertiesOnly | Format-List Identity, InternalUrl, ExternalUrl, WhenCreated, WhenChanged
Get-EcpVirtualDirectory -ADPropertiesOnly | Format-List Identity, InternalUrl, ExternalUrl, WhenChanged
Get-OwaVirtualDirectory -ADPropertiesOnly | Format-List Identity, InternalUrl, ExternalUrl, WhenChanged
'--- rules and agents of the mail flow'
Get-TransportRule | Format-Table Name, State, WhenChanged -AutoSize
Get-TransportAgent | Format-Table Identity, Enabled, Priority -AutoSize
Get-SendConnector | Format-Table Identity, SmartHosts, WhenChanged -AutoSize
'--- what administrators did'
Search-AdminAuditLog -StartDate $Since -EndDate (Get-Date) -ResultSize 5000 |
    Where-Object { $_.CmdletName -match 'VirtualDirectory|MailboxExport|RoleAssignment|RoleGroup|TransportRule|TransportAgent|InboxRule|MailboxPermission|AuditLog' } |
    Select-Object RunDate, Caller, CmdletName, ObjectModified | Format-Table -AutoSize -Wrap
