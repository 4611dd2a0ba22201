# Presses Tab in an interactive zsh, as Debian starts one, and looks at what it makes of the line.
zmodload zsh/zpty
zpty shell zsh -f -i
# nobody asks questions, and the line is shown as it is
zpty -w shell 'PROMPT="> " TERM=dumb; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D; print READY:$_comps[kickstage]'
zpty -r shell seen '*READY:_kickstage*' || exit 1
zpty -w -n shell $'kickstage dele\t--fo\t'
zpty -r shell seen '*kickstage delete *--force*' || exit 1
zpty -d shell
