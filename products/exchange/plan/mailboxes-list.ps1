# Lists what shows that mail was taken or is still being taken. For the Exchange Management
# Shell. It only reads; with thousands of mailboxes it takes hours.
$ErrorActionPreference = 'Continue'
'--- exports: each was ordered by somebody; who?'
Get-MailboxExportRequest -ResultSize Unlimited | Get-MailboxExportRequestStatistics | Select-Object SourceAlias, Status, QueuedTimestamp, FilePath | Format-Table -AutoSize -Wrap
'--- searches over mailboxes'
Get-MailboxSearch | Format-Table Name, CreatedBy, LastModifiedTime, Status -AutoSize
'--- mail that is sent on'
Get-Mailbox -ResultSize Unlimited | Where-Object { $_.ForwardingSmtpAddress -or $_.ForwardingAddress } | Select-Object Identity, ForwardingSmtpAddress, ForwardingAddress, DeliverToMailboxAndForward | Format-Table -AutoSize
'--- who may read the mailboxes of others'
Get-Mailbox -ResultSize Unlimited | Get-MailboxPermission | Where-Object { -not $_.IsInherited -and $_.User -notlike 'NT AUTHORITY\*' } | Select-Object Identity, User, AccessRights | Format-Table -AutoSize
'--- rules that send mail on or hide it'
foreach ($m in Get-Mailbox -ResultSize Unlimited) {
    Get-InboxRule -Mailbox $m.Identity -ErrorAction SilentlyContinue | Where-Object { $_.ForwardTo -or $_.RedirectTo -or $_.ForwardAsAttachmentTo -or $_.DeleteMessage } |
        Select-Object MailboxOwnerId, Name, Enabled, ForwardTo, RedirectTo, DeleteMessage
}
