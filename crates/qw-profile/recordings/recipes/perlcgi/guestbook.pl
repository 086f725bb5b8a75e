# Guest book with one hole: the pattern of a search reaches a shell.
use strict;
my %query = map { my ($k, $v) = split /=/, $_, 2; $v = '' unless defined $v; $v =~ s/\+/ /g; $v =~ s/%(..)/chr hex $1/ge; ($k, $v) } split /&/, $ENV{QUERY_STRING} || '';
print "Content-Type: text/plain\n\n";
if ($ENV{REQUEST_METHOD} eq 'POST') {
    read STDIN, my $text, $ENV{CONTENT_LENGTH} || 0;
    open my $book, '>>', '/srv/book/entries.txt' or die;
    print $book time, " $text\n";
    close $book;
    print "thanks\n";
} elsif (defined $query{search}) {
    print `grep -c -- $query{search} /srv/book/entries.txt`;
} else {
    open my $book, '<', '/srv/book/entries.txt' or die;
    my @lines = <$book>;
    print @lines > 10 ? @lines[-10 .. -1] : @lines;
}
